/* SPDX-License-Identifier: MIT */
/*
 * The receiving half of a session: what RFC 6455 sections 5.2 to 5.5, 7.4 and 8.1 let a
 * peer send, and the close code that answers everything else. Which limits hold is the
 * caller's matter, and so is what to do with an event.
 *
 * A message is gathered until it is whole, or goes out in the parts in which it arrives;
 * both ways are held to the same rules. The payload of a compressed message is left as it
 * comes; inflating it, with the real limit, and checking what comes out as text, is the
 * caller's.
 *
 * A verdict depends on the bytes up to the one that decides it, never on how reads cut
 * them: a header is refused at its first wrong byte, a text at its first bad one.
 */
#include "proto/session.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "proto/mask.h"
#include "proto/utf8.h"

/*
 *      +-- a whole message at once: stays here
 *      v |
 *      IDLE -----> HEADER --------> DATA --- message whole ---> IDLE
 *                   ^   |            |
 *                   +---|-- more fragments
 *                       +---------> CONTROL -- ping, pong ----> IDLE, or HEADER inside
 *                                    |                          a message
 *                                    +-- close --> ENDED <-- an error in any step
 *
 * Where messages are delivered in parts, IDLE_FOR_PARTS and PARTS stand for IDLE and
 * DATA.
 */
enum step {
    STEP_IDLE,    /* between messages; a whole one may be taken in a straight line */
    STEP_HEADER,  /* inside a header, or between the frames of a message */
    STEP_DATA,    /* inside the payload of a text, binary or continuation frame */
    STEP_CONTROL, /* inside the payload of a close, ping or pong frame */
    STEP_ENDED,   /* after CLOSE or ERROR */
    STEP_IDLE_FOR_PARTS, /* apart, so that the straight line need not ask */
    STEP_PARTS,
};

enum {
    RSV_BITS = 0x70,
    OPCODE_BITS = 0x0f,
    CONTROL_BIT = 0x08,
    MASK_BIT = 0x80,
    LENGTH_BITS = 0x7f,
    LENGTH_IN_16_BITS = 126,
    LENGTH_IN_64_BITS = 127,
    KEY_SIZE = 4,
};

enum {
    PROTOCOL_ERROR = 1002,
    NO_CODE = 1005,
    INVALID_DATA = 1007,
    POLICY_VIOLATION = 1008,
    TOO_BIG = 1009,
    INTERNAL_ERROR = 1011,
};

/*
 * What has to be known only while a frame or message is incomplete. It begins on the
 * stack of a call, owning nothing there, and moves to the heap when it has to gather
 * bytes or to outlive the call: what is whole in the input costs no allocation.
 *
 * In the idle steps and STEP_ENDED nothing is incomplete; one on the heap is then kept
 * for what the last event points to and for the next message, until the input ends.
 */
struct wsi_partial {
    uint64_t fragments;   /* frames of the current message, this one included */
    uint64_t message_len; /* payload bytes that these declare */
    uint64_t frame_left;  /* payload bytes of the current frame still to come */
    uint64_t frame_len;
    struct wsi_buf message; /* what arrived of a message that is not whole yet */
    wsi_utf8_state utf8;
    uint8_t key[KEY_SIZE]; /* of the current frame */
    uint8_t header[WSI_FRAME_HEADER_MAX];
    uint8_t header_have;    /* bytes of the current header, kept in header[] */
    uint8_t message_opcode; /* 0: no message is under way */
    bool compressed;        /* the message under way, by RSV1 of its first frame */
    bool in_parts;          /* the message under way, or the next one */
    uint8_t control[WSI_CONTROL_PAYLOAD_MAX]; /* payload of a cut control frame */
};

/* One call of wsi_session_next(), as its steps hand it on. */
struct turn {
    struct wsi_session *session;
    struct wsi_partial *partial; /* the session's, or one on the stack */
    const struct wsi_session_limits *limits;
    uint8_t *at; /* input that was not taken yet */
    size_t left;
    struct wsi_event *event;
};

/* A step answers true when the event is set, false when the next step is to go on. */
typedef bool step_fn(struct turn *turn);

static void release(struct wsi_session *session)
{
    if (session->partial == NULL)
        return;
    wsi_buf_fini(&session->partial->message);
    wsi_free(session->partial);
    session->partial = NULL;
}

static bool fail(struct wsi_session *session, struct wsi_event *event, uint16_t code,
                 const char *why)
{
    release(session);
    session->failed = true;
    session->step = STEP_ENDED;
    *event = (struct wsi_event){.kind = WSI_EVENT_ERROR, .code = code, .why = why};
    return true;
}

static bool refuse(struct turn *turn, uint16_t code, const char *why)
{
    return fail(turn->session, turn->event, code, why);
}

/* Move the partial to the heap if it is not there. True when that failed. */
static bool keeping_fails(struct turn *turn)
{
    struct wsi_partial *kept;

    if (turn->partial == turn->session->partial)
        return false;
    kept = wsi_alloc(sizeof *kept);
    if (kept == NULL)
        return refuse(turn, INTERNAL_ERROR, "out of memory for an incomplete frame");
    *kept = *turn->partial;
    turn->partial = kept;
    turn->session->partial = kept;
    return false;
}

static bool want_more(struct turn *turn)
{
    assert(turn->left == 0);
    *turn->event = (struct wsi_event){.kind = WSI_EVENT_NONE};
    return true;
}

static uint8_t *take(struct turn *turn, size_t len)
{
    uint8_t *bytes = turn->at;

    turn->at += len;
    turn->left -= len;
    return bytes;
}

/* What of the current frame's payload is at hand. */
static size_t payload_at_hand(const struct turn *turn)
{
    const uint64_t frame_left = turn->partial->frame_left;

    return turn->left < frame_left ? turn->left : (size_t)frame_left;
}

static bool is_between_messages(const struct wsi_session *session)
{
    return session->step == STEP_IDLE || session->step == STEP_IDLE_FOR_PARTS;
}

static uint8_t step_between_messages(const struct wsi_session *session)
{
    return session->in_parts ? STEP_IDLE_FOR_PARTS : STEP_IDLE;
}

static bool is_masked(const struct wsi_session *session)
{
    return session->mask_bit != 0;
}

/* Takes the next len bytes of the current frame's payload, unmasked to `out`, which may
 * be the input itself. */
static void take_payload(struct turn *turn, uint8_t *out, size_t len)
{
    struct wsi_partial *partial = turn->partial;
    const uint8_t *in = take(turn, len);

    if (is_masked(turn->session))
        wsi_mask(out, in, len, partial->key,
                 (size_t)(partial->frame_len - partial->frame_left) & 3);
    else if (out != in)
        memcpy(out, in, len);
    partial->frame_left -= len;
}

/* ---- headers ---- */

static bool byte0_is_refused(struct turn *turn)
{
    const struct wsi_partial *partial = turn->partial;
    const unsigned byte0 = partial->header[0];
    const unsigned opcode = byte0 & OPCODE_BITS;
    const unsigned rsv = byte0 & RSV_BITS;

    if ((rsv & ~(unsigned)turn->session->rsv_bits) != 0)
        return refuse(turn, PROTOCOL_ERROR,
                      "a reserved bit is set without an extension that gives it meaning");
    if (rsv != 0 && (opcode == WSI_OP_CONTINUATION || (opcode & CONTROL_BIT) != 0))
        return refuse(turn, PROTOCOL_ERROR,
                      "RSV1 is set on a frame that does not begin a message");
    if ((opcode & ~(unsigned)CONTROL_BIT) > WSI_OP_BINARY)
        return refuse(turn, PROTOCOL_ERROR, "the opcode is reserved");
    if ((opcode & CONTROL_BIT) != 0)
        return (byte0 & WSI_FRAME_FIN) == 0 &&
               refuse(turn, PROTOCOL_ERROR, "a control frame is fragmented");
    if (opcode == WSI_OP_CONTINUATION && partial->message_opcode == 0)
        return refuse(turn, PROTOCOL_ERROR, "a continuation frame continues no message");
    if (opcode != WSI_OP_CONTINUATION && partial->message_opcode != 0)
        return refuse(turn, PROTOCOL_ERROR,
                      "a new message begins inside a fragmented one");
    if (opcode == WSI_OP_CONTINUATION &&
        partial->fragments >= turn->limits->max_fragments)
        return refuse(turn, POLICY_VIOLATION, "the message has too many fragments");
    return false;
}

/* By how much zlib may exceed the length of what it cannot compress, with the poorest of
 * settings and some flushes in between. */
static uint64_t slack(uint64_t len)
{
    enum { ROUNDING_AND_FLUSHES = 64 };

    return len / 8 + len / 64 + ROUNDING_AND_FLUSHES;
}

/* What the payload of this message may have as it travels. */
static uint64_t payload_limit(const struct turn *turn)
{
    const struct wsi_partial *partial = turn->partial;
    const uint64_t limit = turn->limits->max_message_bytes;
    const bool compressed = partial->message_opcode != 0
                                ? partial->compressed
                                : (partial->header[0] & WSI_FRAME_RSV1) != 0;

    if (compressed && limit < UINT64_MAX - slack(limit))
        return limit + slack(limit);
    return limit;
}

/* A payload of len bytes is declared. */
static bool length_is_refused(struct turn *turn, uint64_t len)
{
    const struct wsi_partial *partial = turn->partial;
    const uint64_t before = partial->message_len;
    uint64_t limit = payload_limit(turn);

    if ((partial->header[0] & CONTROL_BIT) != 0)
        return false;
    if (limit > SIZE_MAX && !partial->in_parts)
        limit = SIZE_MAX;
    /* The limit may have been lowered below what came before. */
    if (before > limit || len > limit - before)
        return refuse(turn, TOO_BIG, "the message is larger than max_message_bytes");
    return false;
}

static bool byte1_is_refused(struct turn *turn)
{
    const uint8_t *header = turn->partial->header;
    const unsigned opcode = header[0] & OPCODE_BITS;
    const unsigned mask_bit = header[1] & MASK_BIT;
    const unsigned len = header[1] & LENGTH_BITS;

    if (mask_bit != turn->session->mask_bit)
        return refuse(turn, PROTOCOL_ERROR,
                      mask_bit != 0 ? "a frame from the server is masked"
                                    : "a frame from the client is not masked");
    if ((opcode & CONTROL_BIT) != 0 && len > WSI_CONTROL_PAYLOAD_MAX)
        return refuse(turn, PROTOCOL_ERROR, "a control frame is longer than 125 bytes");
    if (opcode == WSI_OP_CLOSE && len == 1)
        return refuse(turn, PROTOCOL_ERROR, "a close frame holds half a code");
    return len < LENGTH_IN_16_BITS && length_is_refused(turn, len);
}

static uint64_t big_endian(const uint8_t *bytes, unsigned len)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < len; i++)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t declared_length(const uint8_t *header)
{
    const unsigned len = header[1] & LENGTH_BITS;

    if (len == LENGTH_IN_16_BITS)
        return big_endian(header + 2, 2);
    return len == LENGTH_IN_64_BITS ? big_endian(header + 2, 8) : len;
}

/* Judges the newest byte of an extended length. */
static bool long_length_is_refused(struct turn *turn)
{
    const uint8_t *header = turn->partial->header;
    const unsigned have = turn->partial->header_have;
    const bool wide = (header[1] & LENGTH_BITS) == LENGTH_IN_64_BITS;

    if (wide && have == 3 && (header[2] & 0x80) != 0)
        return refuse(turn, PROTOCOL_ERROR,
                      "the most significant bit of a 64-bit length is set");
    if (wide ? have == 8 && big_endian(header + 2, 6) == 0
             : have == 4 && big_endian(header + 2, 2) < LENGTH_IN_16_BITS)
        return refuse(turn, PROTOCOL_ERROR, "a length is not in its shortest form");
    return have == (wide ? 10 : 4) && length_is_refused(turn, declared_length(header));
}

static bool newest_header_byte_is_refused(struct turn *turn)
{
    const struct wsi_partial *partial = turn->partial;

    if (partial->header_have == 1)
        return byte0_is_refused(turn);
    if (partial->header_have == 2)
        return byte1_is_refused(turn);
    if ((partial->header[1] & LENGTH_BITS) >= LENGTH_IN_16_BITS)
        return long_length_is_refused(turn);
    return false;
}

static bool header_is_whole(const struct turn *turn)
{
    const struct wsi_partial *partial = turn->partial;
    unsigned size = turn->session->header_min;

    if (partial->header_have < 2)
        return false;
    if ((partial->header[1] & LENGTH_BITS) == LENGTH_IN_16_BITS)
        size += 2;
    else if ((partial->header[1] & LENGTH_BITS) == LENGTH_IN_64_BITS)
        size += 8;
    return partial->header_have == size;
}

static void begin_payload(struct wsi_session *session, struct wsi_partial *partial)
{
    const unsigned opcode = partial->header[0] & OPCODE_BITS;

    partial->frame_len = declared_length(partial->header);
    partial->frame_left = partial->frame_len;
    if (is_masked(session))
        memcpy(partial->key, partial->header + partial->header_have - KEY_SIZE, KEY_SIZE);
    partial->header_have = 0;
    if ((opcode & CONTROL_BIT) != 0) {
        session->step = STEP_CONTROL;
        return;
    }
    session->step = partial->in_parts ? STEP_PARTS : STEP_DATA;
    partial->message_len += partial->frame_len;
    if (opcode == WSI_OP_CONTINUATION) {
        partial->fragments++;
        return;
    }
    partial->message_opcode = (uint8_t)opcode;
    partial->compressed = (partial->header[0] & WSI_FRAME_RSV1) != 0;
    partial->fragments = 1;
    assert(partial->utf8 == 0); /* no text was delivered in the middle of a sequence */
}

static bool step_header(struct turn *turn)
{
    struct wsi_partial *partial = turn->partial;

    while (!header_is_whole(turn)) {
        if (turn->left == 0)
            return want_more(turn);
        partial->header[partial->header_have++] = *take(turn, 1);
        if (newest_header_byte_is_refused(turn))
            return true;
    }
    begin_payload(turn->session, partial);
    return false;
}

/* ---- whole messages ---- */

static const char bad_text[] = "a text message is not valid UTF-8";
static const char cut_text[] = "a text message ends inside a UTF-8 sequence";

static bool text_is_refused(struct turn *turn, const uint8_t *data, size_t len)
{
    struct wsi_partial *partial = turn->partial;

    if (partial->message_opcode != WSI_OP_TEXT || partial->compressed)
        return false;
    if (wsi_utf8_check(&partial->utf8, data, len) != len)
        return refuse(turn, INVALID_DATA, bad_text);
    return false;
}

static bool end_of_text_is_refused(struct turn *turn)
{
    return turn->partial->utf8 != 0 && refuse(turn, INVALID_DATA, cut_text);
}

static bool deliver_message(struct turn *turn, uint8_t *data, size_t len)
{
    struct wsi_partial *partial = turn->partial;

    if (end_of_text_is_refused(turn))
        return true;
    *turn->event = (struct wsi_event){
        .kind = WSI_EVENT_MESSAGE,
        .opcode = partial->message_opcode,
        .compressed = partial->compressed,
        .data = data,
        .len = len,
    };
    partial->message_opcode = 0;
    turn->session->step = step_between_messages(turn->session);
    return true;
}

/*
 * Make room behind what is gathered for the len bytes at hand. Growth follows what really
 * arrived: it asks for four times that much, within what the frame declares, and the
 * buffer doubles, so that a long message costs few copies and a declared length alone
 * costs nothing. A buffer that an earlier message left far too large goes first.
 */
static int make_room(struct turn *turn, size_t len)
{
    enum { KEPT_ANYWAY = 64 * 1024, WASTE = 8 };
    struct wsi_buf *message = &turn->partial->message;
    const size_t frame_left = (size_t)turn->partial->frame_left;
    const size_t room = len < frame_left / 4 ? len * 4 : frame_left;
    size_t limit = message->len + frame_left;

    if (message->len == 0 && message->capacity > KEPT_ANYWAY &&
        message->capacity / WASTE > frame_left)
        wsi_buf_fini(message);
    /* The header was accepted, whatever max_message_bytes has become since. */
    if (limit < turn->limits->max_message_bytes)
        limit = turn->limits->max_message_bytes < SIZE_MAX
                    ? (size_t)turn->limits->max_message_bytes
                    : SIZE_MAX;
    return wsi_buf_reserve(message, room, limit);
}

/* Adds what is at hand of the current frame to the message. True when that failed. */
static bool gathering_fails(struct turn *turn)
{
    const size_t len = payload_at_hand(turn);
    struct wsi_buf *message;
    uint8_t *piece;

    if (len == 0)
        return false;
    if (keeping_fails(turn))
        return true;
    message = &turn->partial->message;
    if (make_room(turn, len) < 0)
        return refuse(turn, INTERNAL_ERROR, "out of memory for a message");
    piece = message->data + message->len;
    take_payload(turn, piece, len);
    message->len += len;
    return text_is_refused(turn, piece, len);
}

static bool step_data(struct turn *turn)
{
    const struct wsi_partial *partial = turn->partial;
    const bool last = (partial->header[0] & WSI_FRAME_FIN) != 0;

    if (last && partial->message.len == 0 && turn->left >= partial->frame_left) {
        uint8_t *data = turn->at;
        const size_t len = (size_t)partial->frame_left;

        take_payload(turn, data, len);
        return text_is_refused(turn, data, len) || deliver_message(turn, data, len);
    }
    if (gathering_fails(turn))
        return true;
    partial = turn->partial; /* which may have moved */
    if (partial->frame_left != 0)
        return want_more(turn);
    if (last)
        return deliver_message(turn, partial->message.data, partial->message.len);
    turn->session->step = STEP_HEADER;
    return false;
}

/* ---- messages in parts ---- */

static bool deliver_part(struct turn *turn, uint8_t *data, size_t len, bool first,
                         bool last)
{
    struct wsi_partial *partial = turn->partial;

    *turn->event = (struct wsi_event){
        .kind = WSI_EVENT_PART,
        .opcode = partial->message_opcode,
        .compressed = partial->compressed,
        .first = first,
        .last = last,
        .data = data,
        .len = len,
    };
    if (last) {
        partial->message_opcode = 0;
        turn->session->step = step_between_messages(turn->session);
    } else if (partial->frame_left == 0) {
        turn->session->step = STEP_HEADER;
    }
    return true;
}

static bool step_parts(struct turn *turn)
{
    const struct wsi_partial *partial = turn->partial;
    /* Only the current frame has bytes that were not taken. */
    const bool first = partial->message_len == partial->frame_left;
    const size_t len = payload_at_hand(turn);
    uint8_t *data = turn->at;
    bool last;

    if (len == 0 && partial->frame_left != 0)
        return want_more(turn);
    take_payload(turn, data, len);
    last = partial->frame_left == 0 && (partial->header[0] & WSI_FRAME_FIN) != 0;
    if (len == 0 && !last) { /* an empty frame that does not end the message */
        turn->session->step = STEP_HEADER;
        return false;
    }
    if (text_is_refused(turn, data, len) || (last && end_of_text_is_refused(turn)))
        return true;
    return deliver_part(turn, data, len, first, last);
}

/* ---- control frames ---- */

static bool deliver_close(struct turn *turn, uint8_t *data, size_t len)
{
    struct wsi_session *session = turn->session;
    const unsigned code = len == 0 ? NO_CODE : (unsigned)big_endian(data, 2);
    const size_t code_len = len == 0 ? 0 : 2;

    if (len != 0 && !wsi_close_code_is_sendable(code))
        return refuse(turn, PROTOCOL_ERROR, "a close frame holds an invalid code");
    if (!wsi_utf8_is_valid(data + code_len, len - code_len))
        return refuse(turn, INVALID_DATA, "a close reason is not valid UTF-8");
    /* Nobody will finish a message that is under way; a reason that was gathered stays.
     */
    if (data != turn->partial->control)
        release(session);
    else
        wsi_buf_fini(&turn->partial->message);
    session->close_received = true;
    session->received_code = (uint16_t)code;
    session->step = STEP_ENDED;
    *turn->event = (struct wsi_event){
        .kind = WSI_EVENT_CLOSE,
        .code = (uint16_t)code,
        .data = data + code_len,
        .len = len - code_len,
    };
    return true;
}

static bool deliver_control(struct turn *turn, uint8_t *data)
{
    const struct wsi_partial *partial = turn->partial;
    const unsigned opcode = partial->header[0] & OPCODE_BITS;
    const size_t len = (size_t)partial->frame_len;

    if (opcode == WSI_OP_CLOSE)
        return deliver_close(turn, data, len);
    *turn->event = (struct wsi_event){
        .kind = opcode == WSI_OP_PING ? WSI_EVENT_PING : WSI_EVENT_PONG,
        .data = data,
        .len = len,
    };
    turn->session->step = partial->message_opcode == 0
                              ? step_between_messages(turn->session)
                              : STEP_HEADER;
    return true;
}

static bool step_control(struct turn *turn)
{
    struct wsi_partial *partial = turn->partial;
    const size_t len = payload_at_hand(turn);

    if (len == partial->frame_len) {
        uint8_t *data = turn->at;

        take_payload(turn, data, len);
        return deliver_control(turn, data);
    }
    if (len == 0)
        return want_more(turn);
    take_payload(turn, partial->control + (partial->frame_len - partial->frame_left),
                 len);
    if (partial->frame_left != 0)
        return want_more(turn);
    assert(partial == turn->session->partial); /* its first bytes came in another call */
    return deliver_control(turn, partial->control);
}

/* ---- between messages, and the end ---- */

/*
 * The bytes that the last event pointed to are free now. A message's buffer is kept as
 * long as there is more input at hand, which in a stream of large messages is mostly the
 * head of the next one; when the input ends between two messages everything goes, so
 * that an idle connection holds nothing. The next byte settles how a message that begins
 * with it is delivered.
 */
static bool step_idle(struct turn *turn)
{
    struct wsi_partial *partial = turn->partial;

    if (turn->left == 0) {
        release(turn->session);
        return want_more(turn);
    }
    partial->message_len = 0;
    partial->message.len = 0;
    partial->in_parts = turn->session->in_parts;
    if (partial->in_parts)
        wsi_buf_fini(&partial->message);
    turn->session->step = STEP_HEADER;
    return false;
}

static bool step_ended(struct turn *turn)
{
    release(turn->session);
    if (turn->left != 0)
        take(turn, turn->left);
    return want_more(turn);
}

static bool is_incomplete(const struct wsi_session *session)
{
    return !is_between_messages(session) && session->step != STEP_ENDED;
}

static step_fn *const steps[] = {
    [STEP_IDLE] = step_idle,   [STEP_HEADER] = step_header,
    [STEP_DATA] = step_data,   [STEP_CONTROL] = step_control,
    [STEP_ENDED] = step_ended, [STEP_IDLE_FOR_PARTS] = step_idle,
    [STEP_PARTS] = step_parts,
};

/* Out of line: its frame must not burden the hot path. */
__attribute__((noinline)) static void run_steps(struct wsi_session *session,
                                                const struct wsi_session_limits *limits,
                                                uint8_t **data, size_t *len,
                                                struct wsi_event *event)
{
    struct wsi_partial fresh = {0};
    struct turn turn = {
        .session = session,
        .partial = session->partial != NULL ? session->partial : &fresh,
        .limits = limits,
        .at = *data,
        .left = *len,
        .event = event,
    };

    while (!steps[session->step](&turn))
        continue;
    if (is_incomplete(session))
        keeping_fails(&turn); /* which has set the event, if so */
    *data = turn.at;
    *len = turn.left;
}

/* Out of line as well, so that a binary message needs no saved registers. */
__attribute__((noinline)) static void finish_whole_text(struct wsi_session *session,
                                                        struct wsi_event *event)
{
    wsi_utf8_state utf8 = 0;

    if (is_masked(session))
        wsi_mask(event->data, event->data, event->len, event->data - KEY_SIZE, 0);
    if (wsi_utf8_check(&utf8, event->data, event->len) != event->len)
        fail(session, event, INVALID_DATA, bad_text);
    else if (utf8 != 0)
        fail(session, event, INVALID_DATA, cut_text);
}

/*
 * True of an unfragmented message below 64 KiB that is whole in the input: it can be
 * taken in a straight line. The steps judge all else, and nothing is accepted here that
 * they would refuse.
 */
static inline bool message_is_whole(const struct wsi_session *session,
                                    const struct wsi_session_limits *limits,
                                    const uint8_t *in, size_t have, size_t *header_len,
                                    size_t *payload_len)
{
    size_t header = session->header_min;
    size_t payload;

    if (have < 2 || session->step != STEP_IDLE ||
        in[0] - (unsigned)(WSI_FRAME_FIN | WSI_OP_TEXT) > WSI_OP_BINARY - WSI_OP_TEXT)
        return false;
    payload = (size_t)in[1] ^ session->mask_bit; /* above 127 when the bit is wrong */
    if (payload >= LENGTH_IN_16_BITS) {
        if (payload > LENGTH_IN_16_BITS || have < 4)
            return false;
        payload = (size_t)in[2] << 8 | in[3];
        header += 2;
        if (payload < LENGTH_IN_16_BITS)
            return false;
    }
    *header_len = header;
    *payload_len = payload;
    return have >= header + payload && payload <= limits->max_message_bytes;
}

void wsi_session_next(struct wsi_session *session,
                      const struct wsi_session_limits *limits, uint8_t **data,
                      size_t *len, struct wsi_event *event)
{
    uint8_t *in = *data;
    size_t header, payload;

    if (!message_is_whole(session, limits, in, *len, &header, &payload)) {
        if (*len == 0 && session->partial == NULL)
            *event = (struct wsi_event){.kind = WSI_EVENT_NONE}; /* as after most reads */
        else
            run_steps(session, limits, data, len, event);
        return;
    }
    *event = (struct wsi_event){
        .kind = WSI_EVENT_MESSAGE,
        .opcode = in[0] & OPCODE_BITS,
        .data = in + header,
        .len = payload,
    };
    in += header;
    *data = in + payload;
    *len -= header + payload;
    if (event->opcode == WSI_OP_TEXT)
        finish_whole_text(session, event);
    else if (is_masked(session))
        wsi_mask(in, in, payload, in - KEY_SIZE, 0);
}

void wsi_session_deliver_parts(struct wsi_session *session, bool in_parts)
{
    session->in_parts = in_parts;
    if (is_between_messages(session))
        session->step = step_between_messages(session);
}

size_t wsi_session_held_bytes(const struct wsi_session *session)
{
    const struct wsi_partial *partial = session->partial;

    return partial != NULL ? sizeof *partial + partial->message.capacity : 0;
}

void wsi_session_fini(struct wsi_session *session)
{
    release(session);
}
