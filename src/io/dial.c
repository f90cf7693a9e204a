/* SPDX-License-Identifier: MIT */
/* Racing for a connection. */
#include "io/dial.h"

#include <errno.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "core/list.h"
#include "io/stream.h"

struct attempt {
    struct wsi_stream stream; /* attached while it is under way */
    struct wsi_dial *dial;
    struct wsi_address address;
};

struct wsi_dial {
    struct wsi_loop *loop;
    struct wsi_timer timer; /* the next attempt */
    wsi_dial_fn done;       /* NULL: it was told, or nobody listens */
    void *user;
    size_t count, next;
    size_t attached;      /* attempts whose stream has not closed */
    struct attempt *last; /* that failed */
    int error;
    bool has_sources;
    struct wsi_sources sources;
    struct attempt attempts[];
};

static struct attempt *attempt_of(struct wsi_stream *stream)
{
    return WSI_CONTAINER_OF(stream, struct attempt, stream);
}

/* It has ended, and so have all streams. */
static void release(struct wsi_dial *dial)
{
    wsi_timer_stop(&dial->timer);
    wsi_free(dial);
}

/* Nothing is under way any more but what closes. */
static void stop(struct wsi_dial *dial)
{
    dial->done = NULL;
    wsi_timer_stop(&dial->timer);
    for (size_t i = 0; i < dial->next; i++)
        wsi_stream_close(&dial->attempts[i].stream, WSI_CLOSE_NOW);
}

static void tell(struct wsi_dial *dial, int fd, const struct attempt *attempt, int error)
{
    const struct wsi_address address = attempt->address;
    const wsi_dial_fn done = dial->done;

    stop(dial);
    done(dial->user, fd, &address, error);
}

static int begin(struct attempt *attempt)
{
    struct wsi_dial *dial = attempt->dial;
    const struct wsi_address *from = NULL;

    if (dial->has_sources) {
        from = attempt->address.u.any.sa_family == AF_INET ? &dial->sources.v4
                                                           : &dial->sources.v6;
        if (from->len == 0) {
            errno = EADDRNOTAVAIL;
            return WSOCK_EADDRNOTAVAIL;
        }
    }
    return wsi_stream_connect(&attempt->stream, dial->loop, &attempt->address, from);
}

/* Begin the next attempt that can begin. @return false when none is left. */
static bool try_next(struct wsi_dial *dial)
{
    while (dial->next < dial->count) {
        struct attempt *attempt = &dial->attempts[dial->next++];

        if (begin(attempt) == 0) {
            dial->attached++;
            if (dial->next < dial->count)
                wsi_loop_timer(dial->loop, &dial->timer, WSI_DIAL_DELAY_MS);
            return true;
        }
        dial->last = attempt;
        dial->error = errno;
    }
    return false;
}

/* ---- events ---- */

static void on_timer(struct wsi_timer *timer)
{
    struct wsi_dial *dial = WSI_CONTAINER_OF(timer, struct wsi_dial, timer);

    if (try_next(dial) || dial->attached > 0)
        return;
    tell(dial, -1, dial->last, dial->error);
    release(dial);
}

static void on_connected(struct wsi_stream *stream, int error)
{
    struct attempt *attempt = attempt_of(stream);

    if (error == 0 && attempt->dial->done != NULL)
        tell(attempt->dial, wsi_stream_release(stream), attempt, 0);
}

static void on_closed(struct wsi_stream *stream, int error)
{
    struct attempt *attempt = attempt_of(stream);
    struct wsi_dial *dial = attempt->dial;

    dial->attached--;
    if (dial->done != NULL) {
        dial->last = attempt;
        dial->error = error;
        if (!try_next(dial) && dial->attached == 0)
            tell(dial, -1, dial->last, dial->error);
    }
    if (dial->done == NULL && dial->attached == 0)
        release(dial);
}

/* A socket that nothing was asked of stays silent, or has won already. */
static void on_data(struct wsi_stream *stream, uint8_t *data, size_t len)
{
    (void)stream, (void)data, (void)len;
}

static void ignore(struct wsi_stream *stream)
{
    (void)stream;
}

static const struct wsi_stream_events events = {
    .on_connected = on_connected,
    .on_data = on_data,
    .on_eof = ignore,
    .on_writable = ignore,
    .on_closed = on_closed,
};

/* ---- starting ---- */

/* The index of the next address from `from` on that is, or is not, of a family. */
static size_t find(const struct wsi_address *addresses, size_t count, size_t from,
                   sa_family_t family, bool same)
{
    while (from < count && (addresses[from].u.any.sa_family == family) != same)
        from++;
    return from;
}

/* The first address, the first of another family, the second, and so on; what is left of
 * one family at the end. */
static void interleave(struct wsi_dial *dial, const struct wsi_address *addresses)
{
    const sa_family_t family = addresses[0].u.any.sa_family;
    size_t next[2] = {find(addresses, dial->count, 0, family, true),
                      find(addresses, dial->count, 0, family, false)};
    unsigned turn = 0;

    for (size_t i = 0; i < dial->count; i++) {
        if (next[turn] == dial->count)
            turn = !turn;
        dial->attempts[i].address = addresses[next[turn]];
        next[turn] = find(addresses, dial->count, next[turn] + 1, family, turn == 0);
        turn = !turn;
    }
}

int wsi_dial_start(struct wsi_dial **out, struct wsi_loop *loop,
                   const struct wsi_address *addresses, size_t count,
                   const struct wsi_sources *sources, wsi_dial_fn done, void *user)
{
    struct wsi_dial *dial = wsi_zalloc(sizeof *dial + count * sizeof dial->attempts[0]);

    if (dial == NULL)
        return WSOCK_ENOMEM;
    dial->loop = loop;
    dial->done = done;
    dial->user = user;
    dial->count = count;
    if (sources != NULL) {
        dial->has_sources = true;
        dial->sources = *sources;
    }
    wsi_timer_init(&dial->timer, on_timer);
    interleave(dial, addresses);
    for (size_t i = 0; i < count; i++) {
        dial->attempts[i].dial = dial;
        wsi_stream_init(&dial->attempts[i].stream, &events);
    }
    if (!try_next(dial))
        wsi_loop_timer(loop, &dial->timer, 0); /* which tells that all failed */
    *out = dial;
    return 0;
}

void wsi_dial_cancel(struct wsi_dial *dial)
{
    stop(dial);
    if (dial->attached == 0)
        release(dial);
}
