# SPDX-License-Identifier: MIT
"""A client that stays connected: python client.py URL [MESSAGE]

Prints what comes, and tells how it stands. What it sends while it is not connected waits.
"""
import sys

import wsock


def main(url: str, message: str) -> None:
    client = wsock.Client(url, reconnect_delay=0.05, reconnect_max_delay=5,
                          reconnect_buffer_bytes="64KiB")

    @client.on_state
    def state(_: wsock.Client, info: wsock.StateInfo) -> None:
        why = f": {info.why.detail}" if info.why is not None else ""
        print(f"{wsock.State(info.state).name.lower()}{why}", flush=True)

    @client.on_message
    def heard(conn: wsock.Connection, text: wsock.Payload) -> None:
        print("<", text if isinstance(text, str) else text.hex(), flush=True)

    client.start()
    client.every(0.2, lambda: client.send(message))
    client.run()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: client.py URL [MESSAGE]")
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "hello")
