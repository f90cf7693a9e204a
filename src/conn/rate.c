/* SPDX-License-Identifier: MIT */
/*
 * Rates, as two buckets that fill continuously and hold one second's worth: a burst of
 * that size passes at once, and no window edge lets twice as much through.
 */
#include "conn/rate.h"

#include "conn/conn.h"
#include "conn/extra.h"
#include "core/alloc.h"

struct wsi_rate {
    uint64_t at_ms;
    double messages, bytes; /* spent, at most one second's worth */
};

void wsi_rate_free(struct wsi_rate *rate)
{
    wsi_free(rate);
}

/* @return whether the bucket holds what is spent now. */
static bool spend(double *spent, double now, int64_t per_second, double seconds)
{
    const double refill = (double)per_second * seconds;

    *spent = (*spent > refill ? *spent - refill : 0) + now;
    return wsi_option_is_off(per_second) || *spent <= (double)per_second;
}

/* @return (nullable) NULL without memory. */
static struct wsi_rate *rate_of(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);

    if (extra != NULL && extra->rate == NULL) {
        extra->rate = wsi_zalloc(sizeof *extra->rate);
        if (extra->rate != NULL)
            extra->rate->at_ms = wsi_worker_now_ms(conn->worker);
    }
    return extra != NULL ? extra->rate : NULL;
}

bool wsi_rate_allows(struct wsock_conn *conn, const struct wsi_event *event)
{
    const struct wsi_options *options = &conn->profile->options;
    const int64_t messages = wsi_option(options, WSI_OPT_MAX_MESSAGE_RATE);
    const int64_t bytes = wsi_option(options, WSI_OPT_MAX_BYTE_RATE);
    const uint64_t now = wsi_worker_now_ms(conn->worker);
    const bool begins = event->kind != WSI_EVENT_PART || event->first;
    struct wsi_rate *rate;
    double seconds;

    if (event->kind == WSI_EVENT_ERROR || event->kind == WSI_EVENT_CLOSE)
        return true;
    rate = rate_of(conn);
    if (rate == NULL) {
        wsi_conn_fail(conn, 1011, "out of memory");
        return false;
    }
    seconds = (double)(now - rate->at_ms) / 1000.0;
    rate->at_ms = now;
    if (!spend(&rate->messages, begins ? 1 : 0, messages, seconds)) {
        wsi_conn_fail(conn, 1008, "more messages a second than max_message_rate");
        return false;
    }
    if (!spend(&rate->bytes, (double)event->len, bytes, seconds)) {
        wsi_conn_fail(conn, 1008, "more bytes a second than max_byte_rate");
        return false;
    }
    return true;
}
