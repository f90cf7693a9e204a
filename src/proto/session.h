/* SPDX-License-Identifier: MIT */
/*
 * One end of an open WebSocket (RFC 6455 sections 5 to 7), without I/O: bytes in,
 * events out, and the frames of control traffic written where the caller says.
 *
 *   caller                         session
 *   ------ received bytes -------> wsi_session_next() ... one event at a time
 *   <----- message, part, ping, close, error
 *   ------ "close 1000" ---------> wsi_session_close() -> bytes of a close frame
 *
 * The closing handshake, as seen by the flags (either side may begin):
 *
 *            sent                    received
 *   OPEN ---------> close_sent ----------------> both: the server ends the transport,
 *     |                                          the client waits for that, with a limit
 *     +--received--> close_received -- sent ---> both
 *
 * The session allocates only for what arrives in pieces: the state of a frame or message
 * that is not whole inside the caller's buffer, and a buffer that grows with the bytes
 * that really arrived, never with a length that a header only declares. Both are gone
 * when the input ends between two messages. A message that is delivered in parts needs
 * the state alone, whatever its length.
 */
#ifndef WSI_PROTO_SESSION_H
#define WSI_PROTO_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"

struct wsi_partial;

enum wsi_event_kind {
    WSI_EVENT_NONE,    /* all input was taken; feed more */
    WSI_EVENT_MESSAGE, /* a whole text or binary message */
    WSI_EVENT_PART,    /* the next bytes of one: wsi_session_deliver_parts() */
    WSI_EVENT_PING,    /* answer with a pong of the same payload, unless closing */
    WSI_EVENT_PONG,
    WSI_EVENT_CLOSE, /* the peer's close frame; code 1005 when it carried none */
    WSI_EVENT_ERROR, /* fail the connection with `code`; nothing is decoded after */
};

/* Every call writes one: hence bits, which leave it at four words. */
struct wsi_event {
    enum wsi_event_kind kind;
    uint8_t opcode;      /* of the message: WSI_OP_TEXT or WSI_OP_BINARY */
    bool compressed : 1; /* the message is: inflate it, then check that text is UTF-8 */
    bool first : 1;      /* of PART: the message begins with it */
    bool last : 1;       /* of PART: the message ends with it */
    uint16_t code;       /* of CLOSE: the peer's; of ERROR: the one to send */
    uint8_t *data;       /* payload, or the close reason; valid until the next call */
    size_t len;
    const char *why; /* of ERROR: static text naming the rule that was broken */
};

/** The limits that one connection is held to, read on every frame: may change live. A
 *  max_message_bytes of 0 admits empty messages only; an unfragmented message passes
 *  whatever max_fragments says. */
struct wsi_session_limits {
    uint64_t max_message_bytes; /* above: error 1009; UINT64_MAX: no limit. A compressed
                                   message may be longer by what zlib may add to one */
    uint64_t max_fragments;     /* frames of one message; above: error 1008 */
};

/* Everything from `mask_bit` on is private to session.c and session_receive.c; it is
 * public so that a connection can hold it without another allocation. All zero is not
 * valid: init. */
struct wsi_session {
    uint8_t role; /* enum wsi_role */
    bool close_sent;
    bool close_received;
    bool failed;            /* an ERROR was reported; input is ignored from then on */
    uint16_t sent_code;     /* 0 until close_sent; 1005 for a frame without code */
    uint16_t received_code; /* 0 until close_received; 1005 for a frame without code */

    /* receiving */
    uint8_t mask_bit;   /* of received frames: 0x80 for a server, 0 for a client */
    uint8_t header_min; /* the shortest header that may come: 6 or 2 bytes */
    uint8_t step;       /* enum step in session_receive.c */
    uint8_t rsv_bits;   /* that the first frame of a message may have */
    bool in_parts;      /* how the next message is delivered */
    struct wsi_partial *partial; /* (owned, nullable) of what is incomplete */
};

void wsi_session_init(struct wsi_session *session, enum wsi_role role);
void wsi_session_fini(struct wsi_session *session);

/** permessage-deflate was agreed: RSV1 on the first frame of a message says that it is
 *  compressed (RFC 7692 section 6). Before the first byte. */
void wsi_session_allow_compressed(struct wsi_session *session);

/**
 * Deliver messages in parts as they arrive (true), or whole (false, as at first). At any
 * time, also from within an event; a message of which a byte was decoded goes on as it
 * began.
 *
 * Instead of one MESSAGE come PART events, each with the opcode and `compressed` of the
 * message and with a span of its payload, unmasked, inside the input. Exactly one is
 * `first` and one, maybe the same, is `last`. Where one part ends and the next begins
 * depends on how frames and reads cut the message, so it means nothing: not a frame, and
 * in text not a character either. Only the last part may be empty, when nothing was left
 * to come but the end; an empty message is one empty part. Control frames of the peer
 * are delivered between the parts.
 *
 * What is refused is the same as of whole messages, at the same byte: 1009 before the
 * payload of the frame with which the message would exceed its limit, 1008, and 1007 for
 * text instead of the part with the first bad byte or with the end of a text that ends
 * inside a character. So a message may fail after parts of it were delivered, and with
 * any other end of the connection its last part never comes.
 */
void wsi_session_deliver_parts(struct wsi_session *session, bool in_parts);

/**
 * Decode up to and including the next event.
 *
 * @param data  in: the received bytes, which are unmasked in place; out: what is left.
 * @param len   in and out: how many.
 * @param event (out) its data points into the input or into the session, until the
 *              next call or until the input goes.
 *
 * The caller loops until WSI_EVENT_NONE, which comes only when len is 0. It may stop
 * earlier, when it is done with an event, len is 0 and wsi_session_is_idle(): another
 * call would only answer NONE. After CLOSE or ERROR the rest of the input is dropped
 * (sections 1.4 and 7.1.7). Out of memory is an ERROR with code 1011.
 */
void wsi_session_next(struct wsi_session *session,
                      const struct wsi_session_limits *limits, uint8_t **data,
                      size_t *len, struct wsi_event *event);

/** True when the session holds nothing: no unfinished frame or message, and no memory
 *  that an event pointed to or that waits for the next message. */
static inline bool wsi_session_is_idle(const struct wsi_session *session)
{
    return session->partial == NULL;
}

/** The bytes of heap that it holds now; 0 when idle. */
size_t wsi_session_held_bytes(const struct wsi_session *session);

/**
 * Write one control frame, whole.
 *
 * @param out    WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX bytes.
 * @param key    four fresh random bytes for a client, ignored for a server.
 * @param len    at most WSI_CONTROL_PAYLOAD_MAX.
 * @return the frame's size.
 */
size_t wsi_session_control(const struct wsi_session *session, uint8_t *out,
                           enum wsi_opcode opcode, const uint8_t key[4], const void *data,
                           size_t len);

/**
 * Write the close frame of this end and note that it was sent.
 *
 * @param out    as for wsi_session_control().
 * @param code   a sendable code, or 1005 for a frame without code.
 * @param reason at most WSI_CLOSE_REASON_MAX bytes of valid UTF-8; none with code 1005.
 * @return the frame's size, or 0 when a close frame was sent before.
 */
size_t wsi_session_close(struct wsi_session *session, uint8_t *out, unsigned code,
                         const uint8_t key[4], const void *reason, size_t len);

/** The code that answers a received one: the same when sendable, else 1000 for a frame
 *  without a code (which the caller sends without a code too: returns 1005). */
unsigned wsi_session_reply_code(const struct wsi_session *session);

#endif
