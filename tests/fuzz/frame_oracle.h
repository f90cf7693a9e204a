/* SPDX-License-Identifier: MIT */
/*
 * A second opinion on received frames: RFC 6455 sections 5.2 to 5.5, 7.4 and 8.1, and RFC
 * 7692 section 6, over a whole input that lies in memory, a rule after the other and
 * without any state between calls. Slow, and short enough to be read beside the RFCs.
 */
#ifndef WSI_TEST_FRAME_ORACLE_H
#define WSI_TEST_FRAME_ORACLE_H

#include "fuzz.h"

#include "proto/session.h"
#include "utf8_oracle.h"

struct oracle {
    const uint8_t *in; /* what is left of the input */
    size_t len;
    bool from_client;
    bool compression; /* was agreed */
    uint64_t max_message_bytes, max_fragments;
    uint8_t *message; /* (owned) gathered of the current one, room for the whole input */
    size_t gathered;
    uint64_t fragments; /* 0: no message is under way */
    uint8_t message_opcode;
    bool compressed;      /* the current message is */
    uint8_t control[125]; /* payload of a control frame */
};

/* What the message under way, or the one that begins here, may have of payload. */
static inline uint64_t oracle_limit(const struct oracle *o)
{
    const uint64_t limit = o->max_message_bytes;
    const bool compressed = o->fragments != 0 ? o->compressed : (o->in[0] & 0x40) != 0;

    if (!compressed || limit == UINT64_MAX)
        return limit;
    return limit + limit / 8 + limit / 64 + 64; /* what zlib may add */
}

/* What is wrong with the first byte of a frame: a close code or 0. */
static inline unsigned oracle_judge_first(const struct oracle *o)
{
    const unsigned opcode = o->in[0] & 15;
    const bool fin = (o->in[0] & 0x80) != 0, control = opcode >= 8;
    const bool rsv1 = (o->in[0] & 0x40) != 0;

    if ((o->in[0] & 0x30) != 0 || (rsv1 && (!o->compression || opcode == 0 || control)) ||
        (opcode > 2 && opcode < 8) || opcode > 10 || (control && !fin) ||
        (opcode == 0 && o->fragments == 0) ||
        ((opcode == 1 || opcode == 2) && o->fragments != 0))
        return 1002;
    return opcode == 0 && o->fragments >= o->max_fragments ? 1008 : 0;
}

/* What is wrong with a frame that begins here as far as it is there: a close code or 0.
 */
static inline unsigned oracle_judge(const struct oracle *o, uint64_t payload,
                                    size_t length_bytes)
{
    const unsigned opcode = o->in[0] & 15, code = oracle_judge_first(o);
    const bool control = opcode >= 8;

    if (code != 0 || o->len < 2)
        return code;
    if ((o->in[1] >= 0x80) != o->from_client || (control && (o->in[1] & 127) > 125) ||
        (opcode == 8 && (o->in[1] & 127) == 1))
        return 1002;
    if (length_bytes == 8 && o->len > 2 && o->in[2] >= 0x80)
        return 1002;
    if (length_bytes == 8 && o->len >= 8 && memcmp(o->in + 2, "\0\0\0\0\0\0", 6) == 0)
        return 1002;
    if (o->len < 2 + length_bytes)
        return 0;
    if (length_bytes == 2 && payload < 126)
        return 1002;
    return !control &&
                   (payload > oracle_limit(o) || payload + o->gathered > oracle_limit(o))
               ? 1009
               : 0;
}

static inline bool oracle_fail(struct wsi_event *event, unsigned code)
{
    *event = (struct wsi_event){.kind = WSI_EVENT_ERROR, .code = (uint16_t)code};
    return true;
}

static inline bool oracle_control(struct oracle *o, unsigned opcode, size_t len,
                                  struct wsi_event *event)
{
    bool whole;

    *event = (struct wsi_event){.kind = opcode == 9 ? WSI_EVENT_PING : WSI_EVENT_PONG,
                                .data = o->control,
                                .len = len};
    if (opcode != 8)
        return true;
    event->kind = WSI_EVENT_CLOSE;
    event->code = 1005;
    if (len == 0)
        return true;
    event->code = (uint16_t)(o->control[0] << 8 | o->control[1]);
    event->data += 2;
    event->len -= 2;
    if (event->code < 1000 || (event->code > 1003 && event->code < 1007) ||
        (event->code > 1014 && event->code < 3000) || event->code > 4999)
        return oracle_fail(event, 1002);
    if (oracle_check(event->data, event->len, &whole) != event->len || !whole)
        return oracle_fail(event, 1007);
    return true;
}

/* A part of a message: event when it is whole, or is no text. */
static inline bool oracle_data(struct oracle *o, bool fin, bool arrived,
                               struct wsi_event *event)
{
    bool whole = true;

    if (o->message_opcode == WSI_OP_TEXT && !o->compressed &&
        oracle_check(o->message, o->gathered, &whole) != o->gathered)
        return oracle_fail(event, 1007);
    if (!fin || !arrived)
        return false;
    if (!whole)
        return oracle_fail(event, 1007);
    *event = (struct wsi_event){.kind = WSI_EVENT_MESSAGE,
                                .opcode = o->message_opcode,
                                .compressed = o->compressed,
                                .data = o->message,
                                .len = o->gathered};
    o->fragments = 0;
    return true;
}

/** The next event, its data valid until the next call; false when the input ends first.
 */
static inline bool oracle_next(struct oracle *o, struct wsi_event *event)
{
    while (o->len != 0) {
        const uint8_t *in = o->in;
        const unsigned opcode = in[0] & 15, short_len = o->len > 1 ? in[1] & 127 : 0;
        const size_t length_bytes = short_len == 127 ? 8 : short_len == 126 ? 2 : 0;
        const size_t header = 2 + length_bytes + (o->from_client ? 4 : 0);
        uint64_t payload = length_bytes == 0 ? short_len : 0;
        uint8_t *out = o->control;
        size_t here;
        unsigned code;

        for (size_t i = 0; i < length_bytes && i + 2 < o->len; i++)
            payload = payload << 8 | in[2 + i];
        if (o->fragments == 0)
            o->gathered = 0;
        code = oracle_judge(o, payload, length_bytes);
        if (code != 0)
            return oracle_fail(event, code);
        if (o->len < header)
            return false;
        here = o->len - header < payload ? o->len - header : (size_t)payload;
        if (opcode < 8) {
            out = o->message + o->gathered;
            o->gathered += here;
            o->message_opcode = opcode != 0 ? (uint8_t)opcode : o->message_opcode;
            o->compressed = opcode != 0 ? (in[0] & 0x40) != 0 : o->compressed;
            o->fragments++;
        }
        for (size_t i = 0; i < here; i++)
            out[i] = o->from_client ? in[header + i] ^ in[header - 4 + i % 4]
                                    : in[header + i];
        o->in += header + here;
        o->len -= header + here;
        if (opcode < 8 && oracle_data(o, (in[0] & 0x80) != 0, here == payload, event))
            return true;
        if (here < payload)
            return false;
        if (opcode >= 8)
            return oracle_control(o, opcode, here, event);
    }
    return false;
}

#endif
