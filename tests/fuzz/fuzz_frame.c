/* SPDX-License-Identifier: MIT */
/*
 * Received frames. The first byte of the input chooses the role, the limits, whether
 * compression was agreed and how messages are delivered; the second seeds the cuts; the
 * rest arrives. It is decoded at once, byte by byte and in random pieces: all three must
 * tell the same, be it in whole messages or in parts, and what frame_oracle.h tells. What
 * ends the connection is answered by a close frame that the other role takes.
 */
#include "fuzz.h"

#include "core/buf.h"
#include "frame_oracle.h"
#include "proto/session.h"
#include "proto/utf8.h"

static const struct wsi_session_limits limits[] = {
    {.max_message_bytes = 1 << 20, .max_fragments = 1024},
    {.max_message_bytes = 300, .max_fragments = 3},
    {.max_message_bytes = 0, .max_fragments = 1},
    {.max_message_bytes = UINT64_MAX, .max_fragments = UINT64_MAX},
};

enum delivery { WHOLE, IN_PARTS, BY_TURNS };

/* One input. */
struct input {
    const uint8_t *data;
    size_t len;
    unsigned role;
    bool compression;
    const struct wsi_session_limits *limits;
};

/* Everything that one decoding told: equal when the sums are. */
struct told {
    uint64_t sum;
    size_t events;
    enum delivery delivery;
    uint32_t random;
    struct wsi_buf message; /* of the parts that came */
    uint8_t opcode;         /* of the parts that came, 0 when none is under way */
    bool compressed;
    struct wsi_session session;
    unsigned code;   /* of the last event */
    const char *why; /* of an error */
};

static void add(struct told *told, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        told->sum = (told->sum ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void count(struct told *told, const struct wsi_event *event)
{
    const uint64_t facts[] = {event->kind, event->opcode, event->compressed, event->code,
                              event->len};

    add(told, facts, sizeof facts);
    add(told, event->data, event->len);
    told->code = event->code;
    told->events++;
}

static uint32_t next_random(struct told *told)
{
    told->random = told->random * 1664525 + 1013904223;
    return told->random >> 16;
}

static void note(struct told *told, const struct wsi_event *event, uint64_t limit)
{
    count(told, event);
    if (event->kind == WSI_EVENT_MESSAGE) {
        if (event->compressed && limit != UINT64_MAX)
            limit += limit / 8 + limit / 64 + 64;
        CHECK(told->opcode == 0);
        CHECK(event->opcode == WSI_OP_TEXT || event->opcode == WSI_OP_BINARY);
        CHECK(event->len <= limit);
        CHECK(event->opcode != WSI_OP_TEXT || event->compressed ||
              wsi_utf8_is_valid(event->data, event->len));
    } else if (event->kind == WSI_EVENT_ERROR) {
        CHECK(event->len == 0 && wsi_close_code_is_sendable(event->code));
        CHECK(event->code != 1011); /* memory does not run out here */
        CHECK(strlen(event->why) <= WSI_CLOSE_REASON_MAX);
        told->why = event->why;
    } else {
        CHECK(event->len <= WSI_CONTROL_PAYLOAD_MAX);
    }
}

/* A message whose last part this is counts as if it had come whole. */
static void note_part(struct told *told, const struct wsi_event *part, uint64_t limit)
{
    struct wsi_event message = {.kind = WSI_EVENT_MESSAGE};

    CHECK(part->first == (told->opcode == 0) && (part->len != 0 || part->last));
    if (part->first) {
        told->opcode = part->opcode;
        told->compressed = part->compressed;
    }
    CHECK(part->opcode == told->opcode && part->compressed == told->compressed);
    CHECK(wsi_buf_append(&told->message, part->data, part->len, SIZE_MAX) == 0);
    if (!part->last)
        return;
    message.opcode = told->opcode;
    message.compressed = told->compressed;
    message.data = told->message.data;
    message.len = told->message.len;
    told->opcode = 0;
    note(told, &message, limit);
    told->message.len = 0;
}

static void note_as_delivered(struct told *told, const struct wsi_event *event,
                              uint64_t limit, const uint8_t *piece, size_t len)
{
    CHECK(event->kind > WSI_EVENT_NONE && event->kind <= WSI_EVENT_ERROR);
    if (event->kind == WSI_EVENT_PART) {
        CHECK(told->delivery != WHOLE);
        CHECK(fuzz_lies_inside((struct wsi_str){(const char *)event->data, event->len},
                               piece, len));
        note_part(told, event, limit);
    } else {
        CHECK(event->kind != WSI_EVENT_MESSAGE || told->delivery != IN_PARTS);
        note(told, event, limit);
    }
}

/* Memory follows what arrived, not what a header declares; of parts nothing is kept. */
static void check_memory(const struct told *told)
{
    const size_t held = wsi_session_held_bytes(&told->session);

    CHECK(wsi_session_is_idle(&told->session) == (held == 0));
    CHECK(held <= (told->delivery == IN_PARTS ? 256 : 70 * 1024));
}

/* Feeds one piece, in a block of its own. */
static void feed(struct told *told, const uint8_t *data, size_t len,
                 const struct wsi_session_limits *limit)
{
    struct wsi_session *session = &told->session;
    uint8_t *piece = fuzz_copy(data, len), *at = piece;
    size_t left = len;
    struct wsi_event event;

    for (;;) {
        const size_t before = left;
        const bool ended = session->failed || session->close_received;

        if (told->delivery == BY_TURNS)
            wsi_session_deliver_parts(session, (next_random(told) & 1) != 0);
        wsi_session_next(session, limit, &at, &left, &event);
        CHECK(left <= before && at == piece + (len - left));
        if (event.kind == WSI_EVENT_NONE)
            break;
        CHECK(!ended);
        note_as_delivered(told, &event, limit->max_message_bytes, piece, len);
    }
    CHECK(left == 0);
    check_memory(told);
    free(piece);
}

/* step 0: at once; else pieces of 1 to step bytes. */
static void decode(struct told *told, const struct input *input, enum delivery delivery,
                   uint32_t step)
{
    *told = (struct told){.sum = 1, .delivery = delivery, .random = step};
    wsi_session_init(&told->session, (enum wsi_role)input->role);
    if (input->compression)
        wsi_session_allow_compressed(&told->session);
    if (delivery == IN_PARTS)
        wsi_session_deliver_parts(&told->session, true);
    if (step == 0)
        feed(told, input->data, input->len, input->limits);
    for (size_t at = 0, size; step != 0 && at < input->len; at += size) {
        size = 1 + next_random(told) % step;
        if (size > input->len - at)
            size = input->len - at;
        feed(told, input->data + at, size, input->limits);
    }
}

static void ask_oracle(struct told *told, const struct input *input)
{
    struct oracle oracle = {
        .in = input->data,
        .len = input->len,
        .from_client = input->role == WSI_SERVER,
        .compression = input->compression,
        .max_message_bytes = input->limits->max_message_bytes,
        .max_fragments = input->limits->max_fragments,
        .message = fuzz_copy(input->data, input->len),
    };
    struct wsi_event event = {0};

    *told = (struct told){.sum = 1};
    while (event.kind != WSI_EVENT_CLOSE && event.kind != WSI_EVENT_ERROR &&
           oracle_next(&oracle, &event))
        count(told, &event);
    free(oracle.message);
}

static void answer(struct told *told)
{
    struct wsi_session *session = &told->session, peer;
    uint8_t frame[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX], *at = frame;
    const uint8_t key[4] = {0x12, 0x80, 0xff, 0x00};
    const unsigned code = session->failed ? told->code : wsi_session_reply_code(session);
    size_t left = wsi_session_close(session, frame, code, key, NULL, 0);
    struct wsi_event event;

    CHECK(left != 0 && session->close_sent && session->sent_code == code);
    CHECK(wsi_session_close(session, frame + left, code, key, NULL, 0) == 0);
    wsi_session_init(&peer, session->role == WSI_CLIENT ? WSI_SERVER : WSI_CLIENT);
    wsi_session_next(&peer, &limits[2], &at, &left, &event);
    CHECK(event.kind == WSI_EVENT_CLOSE && event.code == code && left == 0);
    wsi_session_fini(&peer);
}

static void compare(const struct told *a, const struct told *b)
{
    CHECK(a->events == b->events && a->sum == b->sum && a->why == b->why);
    CHECK(a->session.failed == b->session.failed);
    CHECK(a->session.close_received == b->session.close_received);
}

static void forget(struct told *told)
{
    wsi_session_fini(&told->session);
    wsi_buf_fini(&told->message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum delivery deliveries[] = {WHOLE, IN_PARTS, BY_TURNS, BY_TURNS};
    struct told whole, bytes, pieces, right;
    struct input input;

    if (len < 2)
        return 0;
    input = (struct input){
        .data = data + 2,
        .len = len - 2,
        .role = data[0] & 1,
        .limits = &limits[data[0] >> 1 & 3],
        .compression = (data[0] & 8) != 0,
    };
    decode(&whole, &input, (data[0] & 0x80) != 0 ? IN_PARTS : WHOLE, 0);
    decode(&bytes, &input, (data[0] & 0x40) != 0 ? IN_PARTS : WHOLE, 1);
    decode(&pieces, &input, deliveries[data[0] >> 4 & 3], 2U + data[1]);
    ask_oracle(&right, &input);
    CHECK(whole.events == right.events && whole.sum == right.sum);
    compare(&whole, &bytes);
    compare(&whole, &pieces);
    if (whole.session.failed || whole.session.close_received)
        answer(&whole);
    forget(&whole);
    forget(&bytes);
    forget(&pieces);
    return 0;
}
