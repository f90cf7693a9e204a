/* SPDX-License-Identifier: MIT */
/* Messages in, in parts. */
#include "conn/receive_parts.h"

#include <wsock/error.h>

#include "conn/compress.h"
#include "conn/conn.h"
#include "conn/extra.h"
#include "core/alloc.h"
#include "proto/utf8.h"

enum {
    PART_MAX = 64 * 1024, /* delivered as soon as so much is inflated */
    STEP = 256,           /* compressed bytes a step: at most 1032 times that come out */
};

/* A compressed message that is under way. */
struct wsi_incoming {
    wsi_utf8_state utf8;
    uint8_t opcode;
    bool first;          /* nothing of it was delivered yet */
    bool last;           /* what waits is its last part */
    bool waits;          /* a part has a rest */
    struct wsi_buf rest; /* of a part, still compressed */
    const uint8_t *due;  /* what of the rest was not inflated yet */
    size_t due_len;
};

void wsi_incoming_free(struct wsi_incoming *incoming)
{
    if (incoming == NULL)
        return;
    wsi_buf_fini(&incoming->rest);
    wsi_free(incoming);
}

static struct wsi_incoming *incoming_of(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL ? extra->incoming : NULL;
}

bool wsi_conn_has_rest(const struct wsock_conn *conn)
{
    const struct wsi_incoming *incoming = incoming_of(conn);

    return incoming != NULL && incoming->waits;
}

size_t wsi_conn_rest_bytes(const struct wsock_conn *conn)
{
    const struct wsi_incoming *incoming = incoming_of(conn);

    const struct wsi_extra *extra = wsi_extra_of(conn);
    size_t held = incoming != NULL ? incoming->rest.capacity : 0;

    /* One that is lent for the message; a context that was agreed on is no surprise. */
    if (extra != NULL && extra->inflater != NULL && !conn->pmd.peer_takeover)
        held += wsi_inflater_held_bytes(extra->inflater);
    return held;
}

static void call(struct wsock_conn *conn, unsigned opcode, const void *data, size_t len,
                 bool first, bool last)
{
    struct wsi_handler *handler = wsi_profile_handler(conn->profile, WSI_ON_PART);
    const int flags = (first ? WSOCK_PART_FIRST : 0) | (last ? WSOCK_PART_LAST : 0);

    if (handler != NULL)
        handler->fn.part(conn, (int)opcode, data, len, flags, handler->user);
}

/* ---- compressed ---- */

/* Deliver what was inflated. @return 0; WSOCK_EUTF8. */
static int deliver_inflated(struct wsock_conn *conn, struct wsi_incoming *incoming,
                            bool last)
{
    struct wsi_buf *out = &conn->worker->inflated;
    const bool first = incoming->first;

    if (incoming->opcode == WSI_OP_TEXT &&
        (wsi_utf8_check(&incoming->utf8, out->data, out->len) != out->len ||
         (last && incoming->utf8 != 0)))
        return WSOCK_EUTF8;
    incoming->first = false;
    call(conn, incoming->opcode, out->data, out->len, first, last);
    wsi_conn_spend(conn, out->len);
    wsi_conn_inflated(conn);
    return 0;
}

/* Inflate and deliver until the part ends or the connection stops.
 * @param done (out) it ended. @return 0; an error of inflating, or WSOCK_EUTF8. */
static int inflate_part(struct wsock_conn *conn, struct wsi_incoming *incoming,
                        const uint8_t **data, size_t *len, bool *done)
{
    const uint64_t limit = (uint64_t)wsi_option(&conn->profile->options,
                                                WSI_OPT_MAX_MESSAGE_BYTES);
    struct wsi_inflater *inflater = wsi_conn_part_inflater(conn);
    struct wsi_buf *out = &conn->worker->inflated;
    int r = inflater != NULL ? 0 : WSOCK_ENOMEM;

    *done = false;
    while (r == 0 && *len > 0 && wsi_conn_goes_on(conn)) {
        const size_t step = *len < STEP ? *len : STEP;

        r = wsi_inflater_append(inflater, out, *data, step, limit);
        *data += step;
        *len -= step;
        if (r == 0 && out->len >= PART_MAX)
            r = deliver_inflated(conn, incoming, false);
    }
    if (r < 0 || !wsi_conn_goes_on(conn))
        return r;
    *done = true;
    if (incoming->last)
        r = wsi_inflater_end(inflater, out, limit);
    if (r == 0 && (incoming->last || out->len > 0))
        r = deliver_inflated(conn, incoming, incoming->last);
    return r;
}

/* Reading was paused within a part: its rest, and maybe only its end, is left. A part may
 * be paused in each of its steps, so what is kept already stays where it is. */
static void keep_rest(struct wsock_conn *conn, struct wsi_incoming *incoming,
                      const uint8_t *data, size_t len)
{
    incoming->waits = true;
    if (incoming->rest.capacity == 0) {
        if (wsi_buf_append(&incoming->rest, data, len, SIZE_MAX / 2) < 0)
            wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
        data = incoming->rest.data;
    }
    incoming->due = data;
    incoming->due_len = len;
    wsi_conn_account(conn);
}

static void deliver(struct wsock_conn *conn, struct wsi_incoming *incoming,
                    const uint8_t *data, size_t len)
{
    bool done;
    const int r = inflate_part(conn, incoming, &data, &len, &done);

    if (r < 0)
        wsi_conn_fail_inflate(conn, r);
    else if (!done && (len > 0 || incoming->last) &&
             wsi_conn_state(conn) < WSI_CONN_ENDING)
        keep_rest(conn, incoming, data, len);
    else if (done && incoming->last)
        wsi_conn_part_inflated(conn);
}

static void deliver_compressed(struct wsock_conn *conn, const struct wsi_event *event)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_incoming *incoming;

    if (extra != NULL && extra->incoming == NULL)
        extra->incoming = wsi_zalloc(sizeof *extra->incoming);
    if (extra == NULL || extra->incoming == NULL) {
        wsi_conn_fail_inflate(conn, WSOCK_ENOMEM);
        return;
    }
    incoming = extra->incoming;
    if (event->first) {
        incoming->opcode = event->opcode;
        incoming->utf8 = 0;
        incoming->first = true;
    }
    incoming->last = event->last;
    deliver(conn, incoming, event->data, event->len);
}

/* ---- what comes in ---- */

void wsi_conn_deliver_part(struct wsock_conn *conn, const struct wsi_event *event)
{
    if (event->compressed)
        deliver_compressed(conn, event);
    else
        call(conn, event->opcode, event->data, event->len, event->first, event->last);
}

void wsi_conn_deliver_rest(struct wsock_conn *conn)
{
    struct wsi_incoming *incoming = incoming_of(conn);

    incoming->waits = false;
    deliver(conn, incoming, incoming->due, incoming->due_len);
    if (!incoming->waits)
        wsi_buf_fini(&incoming->rest);
}
