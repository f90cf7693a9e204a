/* SPDX-License-Identifier: MIT */
/*
 * A client and a server back to back. The input is a script: who sends which message in
 * how many fragments, compressed or not, who pings, who closes, who has messages
 * delivered in parts, and how many bytes of which direction arrive next. What one end
 * sent has to arrive at the other, in order and unchanged; and once an end closes, both
 * have to end with each other's codes.
 */
#include "fuzz.h"

#include "core/buf.h"
#include "proto/mask.h"
#include "proto/session.h"
#include "proto/utf8.h"

enum {
    WIRE_MAX = 1 << 20,
    EXPECTED_MAX = 128, /* events under way in one direction */
    NO_CODE = 1005,
};

/* What an end sent, until the other has seen it. */
struct sent {
    enum wsi_event_kind kind;
    uint8_t opcode;
    bool compressed;
    unsigned code;
    uint8_t *data;
    size_t len;
};

/* How messages are delivered. */
enum delivery { WHOLE, IN_PARTS, BY_TURNS };

struct end {
    struct wsi_session session;
    struct wsi_buf wire; /* what it wrote */
    size_t taken;        /* of that, by the other end */
    struct sent sent[EXPECTED_MAX];
    size_t first, count;
    struct end *other;
    bool compression; /* was agreed */
    bool begun;       /* has written something */
    enum delivery delivery;
    bool in_parts;        /* as the session was told last */
    struct wsi_buf parts; /* of the message under way */
    bool has_parts;
};

static const struct wsi_session_limits limits = {
    .max_message_bytes = UINT64_MAX,
    .max_fragments = UINT64_MAX,
};

/* ---- sending ---- */

static bool is_full(const struct end *end)
{
    return end->count >= EXPECTED_MAX - 4 || end->wire.len - end->taken > WIRE_MAX / 2;
}

/* @return what it is to become, of kind and payload. */
static struct sent *expect(struct end *end, enum wsi_event_kind kind, const void *data,
                           size_t len)
{
    struct sent *sent = &end->sent[(end->first + end->count++) % EXPECTED_MAX];

    CHECK(end->count <= EXPECTED_MAX);
    *sent = (struct sent){.kind = kind, .data = fuzz_copy(data, len), .len = len};
    return sent;
}

static void write_wire(struct end *end, const void *data, size_t len)
{
    CHECK(wsi_buf_append(&end->wire, data, len, WIRE_MAX) == 0);
    end->begun = true;
}

static void take_key(struct fuzz_source *in, uint8_t key[4])
{
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)fuzz_byte(in);
}

static void send_frame(struct end *end, struct fuzz_source *in, unsigned byte0,
                       const uint8_t *data, size_t len)
{
    const bool masked = end->session.role == WSI_CLIENT;
    uint8_t header[WSI_FRAME_HEADER_MAX], key[4];
    uint8_t *payload = fuzz_copy(data, len);
    size_t size;

    take_key(in, key);
    size = wsi_frame_write_header(header, byte0, len, masked ? key : NULL);
    CHECK(size == wsi_frame_header_size(len, masked));
    if (masked)
        wsi_mask(payload, payload, len, key, 0);
    write_wire(end, header, size);
    write_wire(end, payload, len);
    free(payload);
}

static void send_control(struct end *end, struct fuzz_source *in, bool ping,
                         const void *data, size_t len)
{
    uint8_t frame[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX], key[4];

    if (is_full(end) || end->session.close_sent)
        return;
    take_key(in, key);
    write_wire(end, frame,
               wsi_session_control(&end->session, frame, ping ? WSI_OP_PING : WSI_OP_PONG,
                                   key, data, len));
    expect(end, ping ? WSI_EVENT_PING : WSI_EVENT_PONG, data, len);
}

/* Valid text or any bytes, made of a few bytes of the input over and over. */
static size_t fill(uint8_t *out, size_t len, struct fuzz_source *in, bool text)
{
    static const char *const characters[] = {"a",
                                             "\xc3\xa9",
                                             "\xe2\x82\xac",
                                             "\xf0\x9f\x98\x80",
                                             "\xed\x9f\xbf",
                                             "\xf4\x8f\xbf\xbf",
                                             " ",
                                             "\x7f"};
    uint8_t pattern[8];
    size_t at = 0;

    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)fuzz_byte(in);
    for (size_t i = 0; at < len; i++) {
        const unsigned byte = pattern[i % sizeof pattern];
        const char *character = characters[byte & 7];
        const size_t size = text ? strlen(character) : 1;

        if (size > len - at)
            break;
        if (text)
            memcpy(out + at, character, size);
        else
            out[at] = (uint8_t)(byte + i / 251);
        at += size;
    }
    return at;
}

/* A session takes the payload of a compressed message as it is: any bytes will do. */
static void send_message(struct end *end, struct fuzz_source *in)
{
    const unsigned how = fuzz_byte(in), cuts = how >> 1 & 3;
    const uint8_t opcode = (how & 1) != 0 ? WSI_OP_TEXT : WSI_OP_BINARY;
    const bool compressed = end->compression && (how & 64) != 0;
    unsigned byte0 = opcode | (compressed ? WSI_FRAME_RSV1 : 0U);
    size_t len = (how & 8) != 0 ? fuzz_short(in) : fuzz_byte(in), at = 0;
    uint8_t *message = malloc(len * 2 + 1);
    struct sent *sent;

    CHECK(message != NULL);
    if ((how & 16) != 0)
        len *= 2; /* beyond what 16 bits of length can tell */
    len = fill(message, len, in, opcode == WSI_OP_TEXT && !compressed);
    for (unsigned i = 0; i < cuts; i++) {
        const size_t size = fuzz_short(in) % (len - at + 1);

        send_frame(end, in, byte0, message + at, size);
        byte0 = WSI_OP_CONTINUATION;
        at += size;
        if ((how & 32) != 0)
            send_control(end, in, true, message, len < 9 ? len : 9);
    }
    send_frame(end, in, WSI_FRAME_FIN | byte0, message + at, len - at);
    sent = expect(end, WSI_EVENT_MESSAGE, message, len);
    sent->opcode = opcode;
    sent->compressed = compressed;
    free(message);
}

static void send_close(struct end *end, struct fuzz_source *in, unsigned code)
{
    uint8_t frame[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX], key[4];
    uint8_t reason[WSI_CLOSE_REASON_MAX];
    const size_t room = fuzz_byte(in) % (sizeof reason + 1);
    const size_t len = code == NO_CODE ? 0 : fill(reason, room, in, true);

    take_key(in, key);
    write_wire(end, frame,
               wsi_session_close(&end->session, frame, code, key, reason, len));
    expect(end, WSI_EVENT_CLOSE, reason, len)->code = code;
}

static void begin_close(struct end *end, struct fuzz_source *in)
{
    unsigned code = fuzz_short(in) % 5000;

    if (end->session.close_sent)
        return;
    if (!wsi_close_code_is_sendable(code))
        code = NO_CODE;
    send_close(end, in, code);
}

/* ---- receiving ---- */

/* `end` has received an event, which has to be the oldest that the other sent. */
static void receive(struct end *end, struct fuzz_source *in,
                    const struct wsi_event *event)
{
    struct end *from = end->other;
    struct sent sent;

    CHECK(event->kind != WSI_EVENT_ERROR && from->count != 0);
    sent = from->sent[from->first];
    from->first = (from->first + 1) % EXPECTED_MAX;
    from->count--;
    CHECK(event->kind == sent.kind && event->opcode == sent.opcode);
    CHECK(event->compressed == sent.compressed);
    CHECK(event->code == sent.code && event->len == sent.len);
    CHECK(sent.len == 0 || memcmp(event->data, sent.data, sent.len) == 0);
    free(sent.data);
    if (event->kind == WSI_EVENT_PING)
        send_control(end, in, false, event->data, event->len);
    if (event->kind == WSI_EVENT_CLOSE && !end->session.close_sent)
        send_close(end, in, wsi_session_reply_code(&end->session));
}

/* A message whose last part this is counts as if it had come whole. */
static void receive_part(struct end *end, struct fuzz_source *in,
                         const struct wsi_event *part)
{
    struct wsi_event message = *part;

    CHECK(part->first == !end->has_parts && (part->len != 0 || part->last));
    CHECK(wsi_buf_append(&end->parts, part->data, part->len, WIRE_MAX) == 0);
    end->has_parts = !part->last;
    if (!part->last)
        return;
    message.kind = WSI_EVENT_MESSAGE;
    message.data = end->parts.data;
    message.len = end->parts.len;
    receive(end, in, &message);
    end->parts.len = 0;
}

static void deliver(struct end *end, bool in_parts)
{
    wsi_session_deliver_parts(&end->session, in_parts);
    end->in_parts = in_parts;
}

/* @return the size of (*piece), a copy; moves the rest up only now and then. */
static size_t take_wire(struct end *end, uint8_t **piece, size_t len)
{
    const size_t left = end->wire.len - end->taken, size = len < left ? len : left;

    *piece = fuzz_copy(size != 0 ? end->wire.data + end->taken : NULL, size);
    end->taken += size;
    if (end->taken == end->wire.len || end->taken > WIRE_MAX / 4) {
        wsi_buf_consume(&end->wire, end->taken);
        end->taken = 0;
    }
    return size;
}

/* Up to len bytes of what the other end wrote arrive, in a block of their own. */
static void arrive(struct end *end, struct fuzz_source *in, size_t len)
{
    uint8_t *piece, *at;
    size_t left = take_wire(end->other, &piece, len);
    struct wsi_event event;

    at = piece;
    for (;;) {
        if (end->delivery == BY_TURNS)
            deliver(end, !end->in_parts);
        wsi_session_next(&end->session, &limits, &at, &left, &event);
        if (event.kind == WSI_EVENT_NONE)
            break;
        if (event.kind == WSI_EVENT_PART)
            receive_part(end, in, &event);
        else
            receive(end, in, &event);
    }
    CHECK(left == 0);
    free(piece);
}

/* ---- the script ---- */

static void agree_on_compression(struct end ends[2])
{
    if (ends[0].begun || ends[1].begun || ends[0].compression)
        return;
    for (int i = 0; i < 2; i++) {
        wsi_session_allow_compressed(&ends[i].session);
        ends[i].compression = true;
    }
}

static void change_delivery(struct end *end, enum delivery delivery)
{
    end->delivery = delivery;
    if (delivery != BY_TURNS)
        deliver(end, delivery == IN_PARTS);
}

static void step(struct end ends[2], struct fuzz_source *in)
{
    const unsigned what = fuzz_byte(in);
    struct end *end = &ends[what & 1];
    uint8_t ping[WSI_CONTROL_PAYLOAD_MAX];

    switch (what >> 1 & 7) {
    case 0:
    case 1:
        if (!end->session.close_sent && !is_full(end))
            send_message(end, in);
        break;
    case 2:
        send_control(end, in, (what & 16) != 0, ping,
                     fill(ping, what >> 4 == 15 ? sizeof ping : what >> 4, in, false));
        break;
    case 3:
        if (what >> 4 == 15) /* rare, or all scripts would be short */
            begin_close(end, in);
        else if (what >> 4 == 8)
            agree_on_compression(ends);
        else if (what >> 4 < 3)
            change_delivery(end, (enum delivery)(what >> 4));
        break;
    case 4:
        arrive(end, in, 1);
        break;
    case 5:
    case 6:
        arrive(end, in, fuzz_byte(in));
        break;
    default:
        arrive(end, in, WIRE_MAX);
        break;
    }
}

static void finish(struct end ends[2], struct fuzz_source *in)
{
    begin_close(&ends[0], in);
    for (int i = 0; i < 4; i++)
        arrive(&ends[i & 1], in, WIRE_MAX);
    for (int i = 0; i < 2; i++) {
        struct end *end = &ends[i];

        CHECK(end->count == 0 && end->wire.len == 0 && !end->has_parts);
        CHECK(end->session.close_sent && end->session.close_received);
        CHECK(end->session.received_code == end->other->session.sent_code);
        CHECK(wsi_session_is_idle(&end->session) && !end->session.failed);
        wsi_session_fini(&end->session);
        wsi_buf_fini(&end->wire);
        wsi_buf_fini(&end->parts);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct end ends[2];
    struct fuzz_source in = {data, len};

    memset(ends, 0, sizeof ends);
    wsi_session_init(&ends[0].session, WSI_CLIENT);
    wsi_session_init(&ends[1].session, WSI_SERVER);
    ends[0].other = &ends[1];
    ends[1].other = &ends[0];
    while (in.left != 0)
        step(ends, &in);
    finish(ends, &in);
    return 0;
}
