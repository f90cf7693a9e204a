/* SPDX-License-Identifier: MIT */
/*
 * Received frames. The first byte of the input chooses the role and the limits, the
 * second seeds the cuts; the rest arrives. It is decoded at once, byte by byte and in
 * random pieces: all three must tell the same, and what frame_oracle.h tells. What ends
 * the connection is answered by a close frame that the other role takes.
 */
#include "fuzz.h"

#include "frame_oracle.h"

#include "proto/session.h"
#include "proto/utf8.h"

static const struct wsi_session_limits limits[] = {
    {.max_message_bytes = 1 << 20, .max_fragments = 1024},
    {.max_message_bytes = 300, .max_fragments = 3},
    {.max_message_bytes = 0, .max_fragments = 1},
    {.max_message_bytes = UINT64_MAX, .max_fragments = UINT64_MAX},
};

/* Everything that one decoding told: equal when the sums are. */
struct told {
    uint64_t sum;
    size_t events;
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
    const uint64_t facts[] = {event->kind, event->opcode, event->code, event->len};

    add(told, facts, sizeof facts);
    add(told, event->data, event->len);
    told->code = event->code;
    told->events++;
}

static void note(struct told *told, const struct wsi_event *event,
                 const struct wsi_session_limits *limit)
{
    CHECK(event->kind > WSI_EVENT_NONE && event->kind <= WSI_EVENT_ERROR);
    count(told, event);
    if (event->kind == WSI_EVENT_MESSAGE) {
        CHECK(event->opcode == WSI_OP_TEXT || event->opcode == WSI_OP_BINARY);
        CHECK(event->len <= limit->max_message_bytes);
        CHECK(event->opcode != WSI_OP_TEXT || wsi_utf8_is_valid(event->data, event->len));
    } else if (event->kind == WSI_EVENT_ERROR) {
        CHECK(event->len == 0 && wsi_close_code_is_sendable(event->code));
        CHECK(event->code != 1011); /* memory does not run out here */
        CHECK(strlen(event->why) <= WSI_CLOSE_REASON_MAX);
        told->why = event->why;
    } else {
        CHECK(event->len <= WSI_CONTROL_PAYLOAD_MAX);
    }
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

        wsi_session_next(session, limit, &at, &left, &event);
        CHECK(left <= before && at == piece + (len - left));
        if (event.kind == WSI_EVENT_NONE)
            break;
        CHECK(!ended);
        note(told, &event, limit);
    }
    CHECK(left == 0);
    CHECK(wsi_session_is_idle(session) == (wsi_session_held_bytes(session) == 0));
    /* Memory follows what arrived, not what a header declares. */
    CHECK(wsi_session_held_bytes(session) <= 70 * 1024);
    free(piece);
}

/* step 0: at once; else pieces of 1 to step bytes. */
static void decode(struct told *told, const uint8_t *data, size_t len, unsigned role,
                   const struct wsi_session_limits *limit, uint32_t step)
{
    uint32_t random = step;

    *told = (struct told){.sum = 1};
    wsi_session_init(&told->session, (enum wsi_role)role);
    if (step == 0)
        feed(told, data, len, limit);
    for (size_t at = 0, size; step != 0 && at < len; at += size) {
        random = random * 1664525 + 1013904223;
        size = 1 + (random >> 16) % step;
        if (size > len - at)
            size = len - at;
        feed(told, data + at, size, limit);
    }
}

static void ask_oracle(struct told *told, const uint8_t *data, size_t len, unsigned role,
                       const struct wsi_session_limits *limit)
{
    struct oracle oracle = {
        .in = data,
        .len = len,
        .from_client = role == WSI_SERVER,
        .max_message_bytes = limit->max_message_bytes,
        .max_fragments = limit->max_fragments,
        .message = fuzz_copy(data, len),
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct told whole, bytes, pieces, right;
    const struct wsi_session_limits *limit;
    unsigned role;

    if (len < 2)
        return 0;
    role = data[0] & 1;
    limit = &limits[data[0] >> 1 & 3];
    decode(&whole, data + 2, len - 2, role, limit, 0);
    decode(&bytes, data + 2, len - 2, role, limit, 1);
    decode(&pieces, data + 2, len - 2, role, limit, 2U + data[1]);
    ask_oracle(&right, data + 2, len - 2, role, limit);
    CHECK(whole.events == right.events && whole.sum == right.sum);
    CHECK(whole.events == bytes.events && whole.sum == bytes.sum);
    CHECK(whole.events == pieces.events && whole.sum == pieces.sum);
    CHECK(whole.why == bytes.why && whole.why == pieces.why);
    CHECK(whole.session.failed == bytes.session.failed);
    CHECK(whole.session.close_received == bytes.session.close_received);
    if (whole.session.failed || whole.session.close_received)
        answer(&whole);
    wsi_session_fini(&whole.session);
    wsi_session_fini(&bytes.session);
    wsi_session_fini(&pieces.session);
    return 0;
}
