/* SPDX-License-Identifier: MIT */
/* What a connection puts into its lane, and what comes back. */
#include "conn/queued.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/answer.h"
#include "conn/conn.h"
#include "conn/keeper.h"
#include "conn/opening.h"
#include "conn/remote.h"
#include "conn/service.h"
#include "core/alloc.h"

enum { RESUMED_A_TURN = 64 };

enum { BACK_ASKED = 1, BACK_OPENED = 2, BACK_CLOSED = 4, BACK_RESUME = 8 };

static struct wsi_queued *queued_of(const struct wsock_conn *conn)
{
    return wsi_extra_of(conn)->queued;
}

static struct wsock_queue *queue_of(const struct wsi_queued *queued)
{
    return queued->lane->queue;
}

/* ---- room ---- */

/* Whether that is all that it may have in the lane, or with 2, half of it. */
static bool is_share(const struct wsi_queued *queued, uint64_t events, uint64_t bytes,
                     unsigned part)
{
    const struct wsi_options *options = &queued->conn->profile->options;

    return events * part > (uint64_t)wsi_option(options, WSI_OPT_CONN_QUEUE_MESSAGES) ||
           bytes * part > (uint64_t)wsi_option(options, WSI_OPT_CONN_QUEUE_BYTES);
}

/* Any thread of the two. */
static bool has_share(struct wsi_queued *queued, unsigned part)
{
    const uint64_t events = atomic_load(&queued->events) -
                            atomic_load(&queued->events_taken);
    const uint64_t bytes = atomic_load(&queued->bytes) -
                           atomic_load(&queued->bytes_taken);

    return is_share(queued, events, bytes, part);
}

/* The worker's, for each message. */
static bool fills_share(struct wsi_queued *queued)
{
    const uint64_t events = atomic_load_explicit(&queued->events, memory_order_relaxed);
    const uint64_t bytes = atomic_load_explicit(&queued->bytes, memory_order_relaxed);

    if (!is_share(queued, events - queued->seen_events, bytes - queued->seen_bytes, 1))
        return false;
    queued->seen_events = atomic_load(&queued->events_taken);
    queued->seen_bytes = atomic_load(&queued->bytes_taken);
    return is_share(queued, events - queued->seen_events, bytes - queued->seen_bytes, 1);
}

/* Who waits for room says so and only then looks whether there is some; who makes room
 * looks only then whether somebody waits. */
static void starve(struct wsi_lane *lane)
{
    atomic_store(&lane->starved, true);
    if (!wsi_lane_is_full(lane))
        wsi_queued_offer_room(lane);
}

static void pause_for(struct wsi_queued *queued, unsigned why)
{
    struct wsock_conn *conn = queued->conn;

    if ((conn->pauses & WSI_PAUSE_HOST) == 0)
        queued->paused_ms = wsi_worker_now_ms(conn->worker);
    wsi_conn_pause(conn, why);
}

/* The time in which the peer could not be heard is not counted against it. */
static void resume_from(struct wsi_queued *queued, unsigned why)
{
    struct wsock_conn *conn = queued->conn;
    uint64_t since = queued->paused_ms;

    if ((conn->pauses & why) == 0)
        return;
    wsi_conn_resume(conn, why);
    if ((conn->pauses & WSI_PAUSE_HOST) != 0 || wsi_conn_state(conn) != WSI_CONN_CLOSING)
        return;
    since = since > conn->since_ms ? since : conn->since_ms;
    conn->since_ms += wsi_worker_now_ms(conn->worker) - since;
    wsi_conn_start_timer(conn);
}

static void wait_for_room(struct wsi_queued *queued)
{
    pause_for(queued, WSI_PAUSE_QUEUE);
    if (wsi_list_is_empty(&queued->waiting))
        wsi_list_append(&queued->lane->waiting, &queued->waiting);
    starve(queued->lane);
}

void wsi_queued_offer_room(struct wsi_lane *lane)
{
    if (!atomic_exchange(&lane->starved, false) ||
        atomic_exchange(&lane->room_posted, true))
        return;
    wsi_queue_ref(lane->queue);
    wsi_worker_post(lane->worker, &lane->room);
}

/* Some in each turn: what they have to say may fill the lane again. */
void wsi_queued_run_room(struct wsi_mail *mail)
{
    struct wsi_lane *lane = WSI_CONTAINER_OF(mail, struct wsi_lane, room);
    struct wsock_queue *queue = lane->queue;
    struct wsi_list *node;

    atomic_store(&lane->room_posted, false);
    for (int i = 0; i < RESUMED_A_TURN && !wsi_lane_is_full(lane) &&
                    (node = wsi_list_pop(&lane->waiting)) != NULL;
         i++)
        resume_from(WSI_CONTAINER_OF(node, struct wsi_queued, waiting), WSI_PAUSE_QUEUE);
    if (!wsi_list_is_empty(&lane->waiting))
        starve(lane);
    wsi_queue_unref(queue);
}

bool wsi_queued_may_receive(struct wsi_queued *queued)
{
    if (!wsi_lane_is_full(queued->lane))
        return true;
    wait_for_room(queued);
    return false;
}

static void wait_for_share(struct wsi_queued *queued)
{
    pause_for(queued, WSI_PAUSE_SHARE);
    atomic_store(&queued->starved, true);
    if (!has_share(queued, 2) && atomic_exchange(&queued->starved, false))
        resume_from(queued, WSI_PAUSE_SHARE);
}

/* The share may have become less meanwhile. */
static void offer_share(struct wsi_queued *queued)
{
    if (!has_share(queued, 2))
        resume_from(queued, WSI_PAUSE_SHARE);
    else if ((queued->conn->pauses & WSI_PAUSE_SHARE) != 0)
        wait_for_share(queued);
}

/* ---- back to the worker ---- */

static void back(struct wsi_queued *queued, unsigned what)
{
    if (atomic_fetch_or(&queued->back_bits, (unsigned char)what) == 0)
        wsi_worker_post(queued->conn->worker, &queued->back);
}

static void tell_owner(struct wsock_conn *conn, enum wsi_conn_event event)
{
    if (conn->owner->conn_event != NULL)
        conn->owner->conn_event(conn->owner, conn, event, NULL);
}

static void run_back(struct wsi_mail *mail)
{
    struct wsi_queued *queued = WSI_CONTAINER_OF(mail, struct wsi_queued, back);
    struct wsock_conn *conn = queued->conn;
    const unsigned what = atomic_exchange(&queued->back_bits, 0);

    if ((what & BACK_ASKED) != 0)
        wsi_accepting_asked(conn);
    if ((what & BACK_OPENED) != 0)
        tell_owner(conn, WSI_CONN_OPENED);
    if ((what & BACK_RESUME) != 0)
        offer_share(queued);
    if ((what & BACK_CLOSED) != 0)
        wsi_conn_finish(conn);
}

/* ---- messages ---- */

static uint8_t *copy_of(const void *data, size_t len)
{
    uint8_t *copy = wsi_alloc(len);

    if (copy != NULL)
        memcpy(copy, data, len);
    return copy;
}

/* The connection is not read while the lane is full, so there is room. */
static void put(struct wsock_conn *conn, enum wsi_on which, int type, int flags,
                const void *data, size_t len)
{
    struct wsi_queued *queued = queued_of(conn);
    struct wsi_lane *lane = queued->lane;
    const bool is_large = len > WSI_LANE_INLINE_MAX;
    const size_t inside = sizeof(struct wsi_record) - sizeof(struct wsi_ring_head) +
                          (is_large ? 0 : len);
    uint8_t *large = is_large ? copy_of(data, len) : NULL;
    struct wsi_record *record;

    if ((is_large && large == NULL) ||
        !wsi_ring_has_room(&lane->ring, wsi_ring_record_size(inside))) {
        wsi_free(large);
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
        return;
    }
    record = (struct wsi_record *)(void *)wsi_ring_reserve(&lane->ring, inside);
    record->conn = conn;
    record->large = large;
    record->len = len;
    record->which = (uint8_t)which;
    record->type = (uint8_t)type;
    record->flags = (uint8_t)flags;
    if (!is_large && len > 0)
        memcpy(record->data, data, len);
    lane->events++;
    lane->bytes += len;
    atomic_store_explicit(&queued->events, queued->events + 1, memory_order_relaxed);
    atomic_store_explicit(&queued->bytes, queued->bytes + len, memory_order_relaxed);
    wsi_ring_publish(&lane->ring);
    wsi_lane_kick(lane);
    if (wsi_lane_is_full(lane))
        wait_for_room(queued);
    else if (fills_share(queued))
        wait_for_share(queued);
    /* The mail that follows finds it done, or takes it back with a resume. */
    if (atomic_load(&queued->pausing) > 0 && wsi_conn_state(conn) == WSI_CONN_OPEN)
        wsi_conn_pause(conn, WSI_PAUSE_USER);
}

static void put_message(wsock_conn *conn, int type, const void *data, size_t len,
                        void *user)
{
    (void)user;
    put(conn, WSI_ON_MESSAGE, type, 0, data, len);
}

static void put_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                     void *user)
{
    (void)user;
    put(conn, WSI_ON_PART, type, flags, data, len);
}

static void put_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    (void)user;
    put(conn, WSI_ON_PONG, 0, 0, data, len);
}

static void call_handler(const struct wsi_record *record)
{
    struct wsock_conn *conn = record->conn;
    struct wsi_handler *handler = wsi_profile_behind(conn->profile,
                                                     (enum wsi_on)record->which);
    const uint8_t *data = record->large != NULL ? record->large : record->data;

    if (handler == NULL)
        return;
    switch (record->which) {
    case WSI_ON_MESSAGE:
        handler->fn.message(conn, record->type, data, record->len, handler->user);
        break;
    case WSI_ON_PART:
        handler->fn.part(conn, record->type, data, record->len, record->flags,
                         handler->user);
        break;
    default:
        handler->fn.pong(conn, data, record->len, handler->user);
        break;
    }
}

void wsi_queued_deliver(struct wsock_queue *queue, const struct wsi_record *record)
{
    struct wsi_queued *queued = queued_of(record->conn);

    if (wsi_queue_calls(queue))
        call_handler(record);
    atomic_store_explicit(&queued->bytes_taken, queued->bytes_taken + record->len,
                          memory_order_relaxed);
    atomic_store(&queued->events_taken, queued->events_taken + 1);
    if (atomic_load(&queued->starved) && !has_share(queued, 2) &&
        atomic_exchange(&queued->starved, false))
        back(queued, BACK_RESUME);
}

/* ---- notices ---- */

static void put_request(wsock_request *request, void *user)
{
    struct wsi_queued *queued = queued_of(wsi_conn_of_request(request));

    (void)user;
    queued->asks = WSI_ON_REQUEST;
    wsi_lane_notify(queued->lane, &queued->asked);
}

static void put_http(wsock_request *request, void *user)
{
    struct wsi_queued *queued = queued_of(wsi_conn_of_request(request));

    (void)user;
    queued->asks = WSI_ON_HTTP;
    wsi_lane_notify(queued->lane, &queued->asked);
}

static void answer_without_handler(struct wsi_queued *queued, bool is_closed)
{
    if (is_closed)
        wsi_answer_respond(queued->conn, 503, NULL, NULL, 0);
    else if (queued->asks == WSI_ON_REQUEST)
        wsi_answer_accept(queued->conn, NULL);
    else
        wsi_answer_respond(queued->conn, 404, NULL, NULL, 0);
}

static void run_asked(struct wsi_mail *mail)
{
    struct wsi_queued *queued = WSI_CONTAINER_OF(mail, struct wsi_queued, asked.mail);
    struct wsock_conn *conn = queued->conn;
    struct wsi_profile *profile = queued->asks == WSI_ON_REQUEST
                                      ? conn->profile
                                      : &wsi_service_of(conn->owner)->profile;
    struct wsi_handler *handler = wsi_profile_behind(profile, (enum wsi_on)queued->asks);
    const bool calls = wsi_queue_calls(queue_of(queued));

    if (calls && handler != NULL)
        handler->fn.request(wsi_request_of(conn), handler->user);
    else
        answer_without_handler(queued, !calls);
    back(queued, BACK_ASKED);
}

static void put_cancelled(wsock_request *request, void *user)
{
    struct wsi_queued *queued = queued_of(wsi_conn_of_request(request));

    (void)user;
    wsi_lane_notify(queued->lane, &queued->cancelled);
}

static void run_cancelled(struct wsi_mail *mail)
{
    struct wsi_queued *queued = WSI_CONTAINER_OF(mail, struct wsi_queued, cancelled.mail);
    struct wsi_handler *handler = wsi_profile_behind(queued->conn->profile,
                                                     WSI_ON_REQUEST_CANCELLED);

    if (handler != NULL && wsi_queue_calls(queue_of(queued)))
        handler->fn.request(wsi_request_of(queued->conn), handler->user);
}

static void put_open(wsock_conn *conn, void *user)
{
    struct wsi_queued *queued = queued_of(conn);

    (void)user;
    wsi_lane_notify(queued->lane, &queued->open);
}

static void run_open(struct wsi_mail *mail)
{
    struct wsi_queued *queued = WSI_CONTAINER_OF(mail, struct wsi_queued, open.mail);
    struct wsock_conn *conn = queued->conn;
    struct wsi_handler *handler = wsi_profile_behind(conn->profile, WSI_ON_OPEN);

    if (wsi_conn_role(conn) == WSI_CLIENT)
        wsi_keeper_greet(&wsi_remote_of(conn->owner)->keeper, conn);
    if (handler != NULL && wsi_queue_calls(queue_of(queued)))
        handler->fn.open(conn, handler->user);
    if (conn->owner->conn_event != NULL)
        back(queued, BACK_OPENED);
}

static void put_drain(wsock_conn *conn, void *user)
{
    struct wsi_queued *queued = queued_of(conn);

    (void)user;
    if (!atomic_exchange(&queued->drain_pending, true))
        wsi_lane_notify(queued->lane, &queued->drain);
}

static void run_drain(struct wsi_mail *mail)
{
    struct wsi_queued *queued = WSI_CONTAINER_OF(mail, struct wsi_queued, drain.mail);
    struct wsock_conn *conn = queued->conn;
    struct wsi_handler *handler = wsi_profile_behind(conn->profile, WSI_ON_DRAIN);

    atomic_store(&queued->drain_pending, false);
    if (handler != NULL && wsi_conn_state(conn) == WSI_CONN_OPEN &&
        wsi_queue_calls(queue_of(queued)))
        handler->fn.open(conn, handler->user);
}

void wsi_queued_close(struct wsi_queued *queued)
{
    wsi_list_remove(&queued->waiting);
    wsi_lane_notify(queued->lane, &queued->closed);
}

/* What a layer above keeps may refer to the connection, and would keep it. */
static void end_attached(const struct wsock_conn *conn)
{
    struct wsi_attached *attached = atomic_load(&wsi_extra_of(conn)->attached);

    if (attached != NULL)
        attached->end(attached);
}

static void run_closed(struct wsi_mail *mail)
{
    struct wsi_queued *queued = WSI_CONTAINER_OF(mail, struct wsi_queued, closed.mail);
    struct wsock_conn *conn = queued->conn;
    struct wsi_handler *handler = NULL;

    atomic_store(&queued->told_closed, true);
    if (wsi_conn_owes_close(conn))
        handler = wsi_profile_behind(conn->profile, WSI_ON_CLOSE);
    if (!wsi_queue_calls(queue_of(queued)))
        end_attached(conn);
    else if (handler != NULL)
        wsi_conn_call_close(conn, handler);
    back(queued, BACK_CLOSED);
}

/* ---- life ---- */

struct wsi_handler wsi_queued_handlers[WSI_ON_COUNT] = {
    [WSI_ON_REQUEST] = {.fn = {.request = put_request}},
    [WSI_ON_REQUEST_CANCELLED] = {.fn = {.request = put_cancelled}},
    [WSI_ON_OPEN] = {.fn = {.open = put_open}},
    [WSI_ON_MESSAGE] = {.fn = {.message = put_message}},
    [WSI_ON_PART] = {.fn = {.part = put_part}},
    [WSI_ON_PONG] = {.fn = {.pong = put_pong}},
    [WSI_ON_DRAIN] = {.fn = {.open = put_drain}},
    [WSI_ON_STATE] = {.fn = {.state = wsi_queued_put_state}},
    [WSI_ON_HTTP] = {.fn = {.request = put_http}},
};

int wsi_queued_new(struct wsock_conn *conn)
{
    struct wsi_lane *lane = wsi_queue_lane(conn->owner->queue, conn->worker);
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_queued *queued = wsi_zalloc(sizeof *queued);

    if (lane == NULL || extra == NULL || queued == NULL) {
        wsi_free(queued);
        return WSOCK_ENOMEM;
    }
    queued->conn = conn;
    queued->lane = lane;
    queued->asked.mail.run = run_asked;
    queued->cancelled.mail.run = run_cancelled;
    queued->open.mail.run = run_open;
    queued->drain.mail.run = run_drain;
    queued->closed.mail.run = run_closed;
    queued->back.run = run_back;
    wsi_list_init(&queued->waiting);
    extra->queued = queued;
    return 0;
}
