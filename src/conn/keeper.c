/* SPDX-License-Identifier: MIT */
/*
 * Keeping a connection up: when to connect again, when to give up, and what becomes of
 * messages meanwhile.
 *
 * How long to wait is drawn from all of 0 to the bound ("full jitter"): of many clients
 * that lost their server at one moment, as few as possible come back at one moment.
 */
#include "conn/keeper.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/opening.h"
#include "conn/posted.h"
#include "conn/pressure.h"
#include "conn/queued.h"
#include "conn/remote.h"
#include "conn/send.h"
#include "core/alloc.h"
#include "proto/stop_list.h"
#include "proto/utf8.h"

enum phase { IDLE, CONNECTING, OPEN, WAITING };

enum {
    RETRY_AFTER_MAX_S = 3600,
    DOUBLINGS_MAX = 30, /* from a millisecond on, far beyond any reconnect_max_delay */
};

static uint64_t option_of(struct wsi_keeper *keeper, enum wsi_option_id id)
{
    return (uint64_t)wsi_option(&wsi_remote_of_keeper(keeper)->profile.options, id);
}

static bool is_stopping(struct wsi_keeper *keeper)
{
    bool stopping;

    pthread_mutex_lock(&keeper->lock);
    stopping = keeper->is_stopping;
    pthread_mutex_unlock(&keeper->lock);
    return stopping || atomic_load(&keeper->worker->pool->stopping);
}

static wsock_state_info state_info(const struct wsi_keeper *keeper, int state,
                                   const wsock_close_info *why, uint64_t delay_ms)
{
    return (wsock_state_info){
        .size = sizeof(wsock_state_info),
        .why = why,
        .delay_ms = (int64_t)delay_ms,
        .state = state,
        .attempt = keeper->attempt,
    };
}

static void tell(struct wsi_keeper *keeper, int state, const wsock_close_info *why,
                 uint64_t delay_ms)
{
    struct wsi_remote *remote = wsi_remote_of_keeper(keeper);
    struct wsi_handler *handler = wsi_profile_handler(&remote->profile, WSI_ON_STATE);
    const wsock_state_info info = state_info(keeper, state, why, delay_ms);

    if (handler != NULL)
        handler->fn.state(wsi_client_of(remote), &info, handler->user);
}

/* ---- the end ---- */

/* With the lock held. */
static void count_kept(struct wsi_keeper *keeper, size_t bytes)
{
    atomic_fetch_add_explicit(&wsi_remote_of_keeper(keeper)->owner.pool->buffered,
                              (int64_t)bytes - (int64_t)keeper->kept_bytes,
                              memory_order_relaxed);
    keeper->kept_bytes = bytes;
}

static void free_kept(struct wsi_posted *kept)
{
    while (kept != NULL) {
        struct wsi_posted *next = kept->next;

        wsi_free(kept);
        kept = next;
    }
}

void wsi_keeper_reset(struct wsi_keeper *keeper)
{
    struct wsi_posted *kept;

    pthread_mutex_lock(&keeper->lock);
    kept = keeper->kept;
    keeper->kept = NULL;
    keeper->kept_end = &keeper->kept;
    count_kept(keeper, 0);
    keeper->is_running = false;
    keeper->is_stopping = false;
    keeper->is_ending = false;
    pthread_mutex_unlock(&keeper->lock);
    free_kept(kept);
}

void wsi_keeper_release(struct wsi_keeper *keeper)
{
    struct wsi_owner *owner = &wsi_remote_of_keeper(keeper)->owner;

    wsi_pool_release(owner->pool);
    wsi_owner_unref(owner);
}

/* CLOSED is told behind what waits in the queue. */
static void finish_queued(struct wsi_keeper *keeper, const wsock_close_info *why)
{
    const wsock_state_info info = state_info(keeper, WSOCK_STATE_CLOSED, why, 0);

    pthread_mutex_lock(&keeper->lock);
    keeper->is_ending = true;
    pthread_mutex_unlock(&keeper->lock);
    wsi_queued_put_closed(keeper, &info);
}

static void finish(struct wsi_keeper *keeper, const wsock_close_info *why)
{
    wsi_timer_stop(&keeper->timer);
    wsi_list_remove(&keeper->node);
    keeper->phase = IDLE;
    if (wsi_remote_of_keeper(keeper)->owner.queue != NULL) {
        finish_queued(keeper, why);
        return;
    }
    wsi_keeper_reset(keeper);
    tell(keeper, WSOCK_STATE_CLOSED, why, 0);
    wsi_keeper_release(keeper);
}

/* What is told where there is no connection to tell of. */
static wsock_close_info no_connection(int cause, const char *detail)
{
    return (wsock_close_info){
        .size = sizeof(wsock_close_info),
        .reason = "",
        .detail = detail != NULL ? detail : wsock_cause_text(cause),
        .cause = cause,
        .code = 1006,
        .began = WSOCK_BY_US,
    };
}

static void finish_without_connection(struct wsi_keeper *keeper)
{
    const bool all_stops = atomic_load(&keeper->worker->pool->stopping);
    const wsock_close_info why = all_stops ? no_connection(WSOCK_CAUSE_STOPPED, NULL)
                                           : no_connection(
                                                 WSOCK_CAUSE_RESET,
                                                 "stopped while it was not connected");

    finish(keeper, &why);
}

/* ---- waiting ---- */

static uint64_t draw_delay(struct wsi_keeper *keeper)
{
    const uint64_t max = option_of(keeper, WSI_OPT_RECONNECT_MAX_DELAY);
    const int doublings = keeper->attempt - 1;
    uint64_t bound = option_of(keeper, WSI_OPT_RECONNECT_DELAY)
                     << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    uint64_t random;

    bound = bound < max ? bound : max;
    wsi_random_bytes(&keeper->worker->random, &random, sizeof random);
    return random % (bound + 1);
}

static void wait_to_connect(struct wsi_keeper *keeper, const wsock_close_info *why,
                            uint64_t least_ms)
{
    const uint64_t delay_ms = least_ms + draw_delay(keeper);
    struct wsi_worker *worker = keeper->worker;

    keeper->phase = WAITING;
    wsi_timer_start(wsi_loop_wheel(worker->loop), &keeper->timer,
                    wsi_worker_now_ms(worker) + delay_ms);
    tell(keeper, WSOCK_STATE_WAITING, why, delay_ms);
}

/* True when the next attempt would come to the same. */
static bool is_pointless(struct wsi_keeper *keeper, const wsock_close_info *why)
{
    struct wsi_remote *remote = wsi_remote_of_keeper(keeper);
    const char *list;
    bool pointless = false;

    pthread_mutex_lock(&remote->lock);
    list = wsi_option_text(&remote->profile.options, WSI_OPT_RECONNECT_STOP);
    if (why->opened)
        pointless = wsi_stop_list_has(list, (unsigned)why->code);
    else if (why->cause == WSOCK_CAUSE_REFUSED || why->cause == WSOCK_CAUSE_PROXY)
        pointless = wsi_stop_list_has(list, (unsigned)why->http_status);
    else if (why->cause == WSOCK_CAUSE_CERTIFICATE)
        pointless = wsi_stop_list_has_certificate(list);
    pthread_mutex_unlock(&remote->lock);
    return pointless;
}

/* An attempt failed or a connection ended: go on, or not. */
static void go_on(struct wsi_keeper *keeper, const wsock_close_info *why,
                  uint64_t least_ms)
{
    const int64_t attempts = wsi_option(&wsi_remote_of_keeper(keeper)->profile.options,
                                        WSI_OPT_RECONNECT_ATTEMPTS);

    if (is_stopping(keeper) || is_pointless(keeper, why) || keeper->attempt > attempts)
        finish(keeper, why);
    else
        wait_to_connect(keeper, why, least_ms);
}

/* ---- connecting ---- */

/* There is not even a connection. @param why what is wrong with TLS. */
static void attempt_failed(struct wsi_keeper *keeper, int r, const char *why)
{
    const wsock_close_info info = r == WSOCK_ENOMEM
                                      ? no_connection(WSOCK_CAUSE_NO_MEMORY, NULL)
                                      : no_connection(WSOCK_CAUSE_TLS, why);

    if (is_stopping(keeper))
        finish_without_connection(keeper);
    else
        go_on(keeper, &info, 0);
}

static void begin_attempt(struct wsi_keeper *keeper)
{
    struct wsi_remote *remote = wsi_remote_of_keeper(keeper);
    struct wsock_conn *conn = NULL;
    char why[WSI_TLS_WHY_SIZE];
    int r;

    keeper->phase = CONNECTING;
    tell(keeper, WSOCK_STATE_CONNECTING, NULL, 0);
    if (is_stopping(keeper)) {
        finish_without_connection(keeper);
        return;
    }
    r = wsi_remote_prepare(remote, why);
    if (r == 0)
        r = wsi_remote_connect_on(remote, keeper->worker, &conn);
    if (r < 0) {
        attempt_failed(keeper, r, why);
        return;
    }
    pthread_mutex_lock(&keeper->lock);
    keeper->conn = conn;
    pthread_mutex_unlock(&keeper->lock);
}

static void on_timer(struct wsi_timer *timer)
{
    struct wsi_keeper *keeper = WSI_CONTAINER_OF(timer, struct wsi_keeper, timer);

    if (keeper->attempt < INT32_MAX)
        keeper->attempt++;
    begin_attempt(keeper);
}

static void begin(struct wsi_keeper *keeper)
{
    wsi_list_append(&keeper->worker->keepers, &keeper->node);
    keeper->attempt = 1;
    if (atomic_load(&keeper->worker->pool->stopping))
        finish_without_connection(keeper);
    else
        begin_attempt(keeper);
}

/* ---- what its connection says ---- */

static void opens(struct wsi_keeper *keeper)
{
    keeper->phase = OPEN;
    keeper->opened_ms = wsi_worker_now_ms(keeper->worker);
    pthread_mutex_lock(&keeper->lock);
    keeper->is_open = true;
    /* To a host on a queue it is not open before its on_open. */
    keeper->is_direct = keeper->kept == NULL &&
                        wsi_remote_of_keeper(keeper)->owner.queue == NULL;
    keeper->is_refused = false;
    pthread_mutex_unlock(&keeper->lock);
    tell(keeper, WSOCK_STATE_OPEN, NULL, 0);
}

void wsi_keeper_greet(struct wsi_keeper *keeper, const struct wsock_conn *conn)
{
    pthread_mutex_lock(&keeper->lock);
    if (keeper->conn == conn && keeper->is_open)
        keeper->is_direct = keeper->kept == NULL;
    pthread_mutex_unlock(&keeper->lock);
}

static size_t kept_size(size_t len)
{
    return sizeof(struct wsi_posted) + len;
}

/* What is kept goes behind what on_open sent, as mail; so does from here on what other
 * threads send, and is behind this. */
static void opened(struct wsi_keeper *keeper, struct wsock_conn *conn)
{
    struct wsi_posted *kept;
    bool is_refused;

    if (!wsi_conn_takes_messages(conn)) /* the next one will */
        return;
    pthread_mutex_lock(&keeper->lock);
    while ((kept = keeper->kept) != NULL) {
        keeper->kept = kept->next;
        kept->next = NULL;
        wsi_kept_send(conn, kept);
    }
    keeper->kept_end = &keeper->kept;
    count_kept(keeper, 0); /* as mail it is counted again */
    keeper->is_direct = true;
    is_refused = keeper->is_refused;
    pthread_mutex_unlock(&keeper->lock);
    if (is_refused) {
        atomic_store(&conn->want_drain, true);
        wsi_conn_refused(conn);
    }
}

static uint64_t retry_after_ms(const struct wsock_conn *conn)
{
    uint32_t seconds = 0;

    if (conn->opening != NULL && (conn->http_status == 429 || conn->http_status == 503))
        seconds = conn->opening->retry_after_s;
    return (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

static void ended(struct wsi_keeper *keeper, struct wsock_conn *conn,
                  const wsock_close_info *why)
{
    const uint64_t now_ms = wsi_worker_now_ms(keeper->worker);

    if (keeper->phase == OPEN &&
        now_ms - keeper->opened_ms >= option_of(keeper, WSI_OPT_RECONNECT_STABLE_TIME))
        keeper->attempt = 1;
    pthread_mutex_lock(&keeper->lock);
    keeper->conn = NULL;
    keeper->is_open = keeper->is_direct = false;
    pthread_mutex_unlock(&keeper->lock);
    wsock_conn_unref(conn); /* not the last reference: it is telling its end */
    go_on(keeper, why, retry_after_ms(conn));
}

/* The client's other connections, on other workers, come here too. */
static void on_conn_event(struct wsi_owner *owner, struct wsock_conn *conn,
                          enum wsi_conn_event event, const wsock_close_info *info)
{
    struct wsi_keeper *keeper = &wsi_remote_of(owner)->keeper;
    bool is_ours;

    pthread_mutex_lock(&keeper->lock);
    is_ours = keeper->conn == conn;
    pthread_mutex_unlock(&keeper->lock);
    if (!is_ours)
        return;
    switch (event) {
    case WSI_CONN_OPENS:
        opens(keeper);
        break;
    case WSI_CONN_OPENED:
        opened(keeper, conn);
        break;
    case WSI_CONN_ENDED:
        ended(keeper, conn, info);
        break;
    }
}

/* ---- starting and stopping ---- */

static void close_conn(struct wsi_keeper *keeper)
{
    struct wsock_conn *conn = wsock_conn_ref(keeper->conn);

    if (wsi_conn_state(conn) == WSI_CONN_OPENING) {
        atomic_store(&conn->close_begun, true);
        wsi_opening_give_up(conn);
    } else if (wsi_conn_close(conn, keeper->code, keeper->reason, keeper->reason_len) ==
               WSOCK_ENOMEM) {
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
    }
    wsock_conn_unref(conn);
}

static void run_mail(struct wsi_mail *mail)
{
    struct wsi_keeper *keeper = WSI_CONTAINER_OF(mail, struct wsi_keeper, mail);
    struct wsi_owner *owner = &wsi_remote_of_keeper(keeper)->owner;
    bool is_running, stops;

    pthread_mutex_lock(&keeper->lock);
    keeper->is_posted = false;
    is_running = keeper->is_running && !keeper->is_ending;
    stops = keeper->is_stopping;
    pthread_mutex_unlock(&keeper->lock);
    if (is_running && keeper->phase == IDLE)
        begin(keeper);
    else if (is_running && stops && keeper->phase == WAITING)
        finish_without_connection(keeper);
    else if (is_running && stops)
        close_conn(keeper);
    wsi_owner_unref(owner);
}

/* With the lock held, which it drops. */
static void post(struct wsi_keeper *keeper)
{
    const bool is_posted = keeper->is_posted;

    keeper->is_posted = true;
    if (!is_posted)
        wsi_owner_ref(&wsi_remote_of_keeper(keeper)->owner);
    pthread_mutex_unlock(&keeper->lock);
    if (!is_posted)
        wsi_worker_post(keeper->worker, &keeper->mail);
}

int wsi_keeper_start(struct wsi_keeper *keeper)
{
    struct wsi_owner *owner = &wsi_remote_of_keeper(keeper)->owner;
    int r = wsi_pool_start(owner->pool);

    if (r < 0)
        return r;
    pthread_mutex_lock(&keeper->lock);
    r = keeper->is_running ? WSOCK_EBUSY : wsi_pool_hold(owner->pool);
    if (r < 0) {
        pthread_mutex_unlock(&keeper->lock);
        return r;
    }
    if (keeper->worker == NULL)
        keeper->worker = wsi_pool_pick(owner->pool);
    if (owner->queue != NULL && wsi_queue_lane(owner->queue, keeper->worker) == NULL) {
        pthread_mutex_unlock(&keeper->lock);
        wsi_pool_release(owner->pool);
        return WSOCK_ENOMEM;
    }
    keeper->is_running = true;
    wsi_owner_ref(owner);
    post(keeper);
    return 0;
}

int wsi_keeper_stop(struct wsi_keeper *keeper, unsigned code, const char *reason,
                    size_t len)
{
    assert(len <= sizeof keeper->reason);
    pthread_mutex_lock(&keeper->lock);
    if (!keeper->is_running || keeper->is_stopping || keeper->is_ending) {
        pthread_mutex_unlock(&keeper->lock);
        return WSOCK_ECLOSED;
    }
    keeper->is_stopping = true;
    keeper->code = (uint16_t)code;
    keeper->reason_len = (uint8_t)len;
    if (len > 0)
        memcpy(keeper->reason, reason, len);
    post(keeper);
    return 0;
}

void wsi_keeper_go_away(struct wsi_keeper *keeper)
{
    if (keeper->phase == WAITING)
        finish_without_connection(keeper);
}

/* ---- messages ---- */

struct wsock_conn *wsi_keeper_conn(struct wsi_keeper *keeper)
{
    struct wsock_conn *conn = NULL;

    pthread_mutex_lock(&keeper->lock);
    if (keeper->is_open)
        conn = wsock_conn_ref(keeper->conn);
    pthread_mutex_unlock(&keeper->lock);
    return conn;
}

/* With the lock held. */
static int keep(struct wsi_keeper *keeper, int type, const void *data, size_t len)
{
    const uint64_t limit = option_of(keeper, WSI_OPT_RECONNECT_BUFFER_BYTES);
    struct wsi_posted *kept;

    if (keeper->kept_bytes + kept_size(len) > limit ||
        wsi_pressure_is_high(wsi_remote_of_keeper(keeper)->owner.pool)) {
        keeper->is_refused = true;
        return WSOCK_EAGAIN;
    }
    if (wsi_opcode_of(type) == WSI_OP_TEXT && !wsi_utf8_is_valid(data, len))
        return WSOCK_EUTF8;
    kept = wsi_kept_new(type, data, len);
    if (kept == NULL)
        return WSOCK_ENOMEM;
    *keeper->kept_end = kept;
    keeper->kept_end = &kept->next;
    count_kept(keeper, keeper->kept_bytes + kept_size(len));
    return 0;
}

int wsi_keeper_route(struct wsi_keeper *keeper, struct wsock_conn **conn, int type,
                     const void *data, size_t len)
{
    struct wsock_conn *tried = *conn;
    int r = 1;

    *conn = NULL;
    pthread_mutex_lock(&keeper->lock);
    if (!keeper->is_running || keeper->is_stopping || keeper->is_ending)
        r = WSOCK_ECLOSED;
    else if (keeper->is_direct && keeper->conn != tried)
        *conn = wsock_conn_ref(keeper->conn);
    else
        r = keep(keeper, type, data, len);
    pthread_mutex_unlock(&keeper->lock);
    wsock_conn_unref(tried);
    return r;
}

/* ---- life ---- */

void wsi_keeper_init(struct wsi_keeper *keeper)
{
    memset(keeper, 0, sizeof *keeper);
    wsi_list_init(&keeper->node);
    wsi_timer_init(&keeper->timer, on_timer);
    keeper->mail.run = run_mail;
    pthread_mutex_init(&keeper->lock, NULL);
    keeper->kept_end = &keeper->kept;
    wsi_remote_of_keeper(keeper)->owner.conn_event = on_conn_event;
}

void wsi_keeper_fini(struct wsi_keeper *keeper)
{
    assert(!keeper->is_running && keeper->conn == NULL && keeper->kept == NULL);
    wsi_told_free(keeper->told);
    pthread_mutex_destroy(&keeper->lock);
}
