# SPDX-License-Identifier: MIT
"""How we compress in each mode, and what the server answers then: ours by what the peer's
client offers, theirs by what we offer."""

OPTIONS = {
    "off": [],
    "shared": ["compression=shared", "compression_min_bytes=0"],
    "dedicated": ["compression=dedicated", "compression_min_bytes=0"],
    "small": ["compression=dedicated", "compression_min_bytes=0",
              "compression_window_bits=10", "compression_peer_window_bits=9"],
}
NEVER_FRAGMENT = ["undici"]
NEVER_COMPRESS = ["undici"]  # reads what is compressed, and sends plain messages

NO_CONTEXT = "server_no_context_takeover; client_no_context_takeover"


def bits(server, client):
    return f"server_max_window_bits={server}; client_max_window_bits={client}"


# Clients that offer "client_max_window_bits", and servers that take all that we ask for.
WILLING = {
    "shared": NO_CONTEXT,
    "dedicated": bits(12, 12),
    "small": bits(10, 9),
}
ANSWERS = {
    ("python", "client"): WILLING,
    ("node", "client"): WILLING,
    ("undici", "client"): WILLING,
    # It keeps no context, and cannot be told to send within a smaller window.
    ("go", "client"): {
        "shared": NO_CONTEXT,
        "dedicated": f"{NO_CONTEXT}; server_max_window_bits=12",
        "small": f"{NO_CONTEXT}; server_max_window_bits=10",
    },
    ("node", "server"): {
        "shared": NO_CONTEXT,
        "dedicated": bits(12, 12),
        "small": bits(9, 10),
    },
    # Has limits of its own.
    ("python", "server"): {
        "shared": f"{NO_CONTEXT}; {bits(12, 12)}",
        "dedicated": bits(12, 12),
        "small": bits(9, 10),
    },
    # Answers this, whatever it was offered.
    ("go", "server"): {
        "shared": NO_CONTEXT,
        "dedicated": NO_CONTEXT,
        "small": NO_CONTEXT,
    },
}


def answer(peer, role, mode):
    """Sec-WebSocket-Extensions of the server's answer; "" when nothing is agreed on."""
    extension = ANSWERS.get((peer, role), {}).get(mode)
    return f"permessage-deflate; {extension}" if extension else ""

