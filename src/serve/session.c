/* SPDX-License-Identifier: MIT */
/*
 * One connection. What it sends is taken frame by frame, in order: a frame that the
 * application is asked about, and that it has not answered when its hook returns, holds
 * up what follows. Then reading pauses; what a queue has in store already waits here.
 *
 *     NEW --hello, accepted--> WELCOME --close, or its end--> ENDED
 *      `-- auth_timeout, refused --> ENDED
 */
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/member.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "serve/v1.h"

static void go_on(struct wsi_v1_session *session);

/* ---- its life ---- */

static struct wsi_v1_session *session_of(struct wsi_attached *attached)
{
    return WSI_CONTAINER_OF(attached, struct wsi_v1_session, attached);
}

static void drop_late(struct wsi_v1_session *session)
{
    struct wsi_list *node;

    json_decref(session->batch);
    session->batch = NULL;
    while ((node = wsi_list_pop(&session->late)) != NULL)
        wsi_free(WSI_CONTAINER_OF(node, struct wsi_v1_late, node));
    session->late_bytes = 0;
}

static void drop_timer(wsock_timer **timer)
{
    if (*timer != NULL)
        wsock_timer_stop(*timer);
    wsock_timer_unref(*timer);
    *timer = NULL;
}

static void release(struct wsi_attached *attached)
{
    struct wsi_v1_session *session = session_of(attached);

    drop_late(session);
    wsock_timer_unref(session->timer);
    wsock_timer_unref(session->expiry);
    wsock_timer_unref(session->patience);
    wsi_free(session->home);
    wsi_free(session->info);
    wsi_free(session);
}

static void end(struct wsi_attached *attached)
{
    wsi_v1_session_end(session_of(attached));
}

struct wsi_v1_session *wsi_v1_session_of(const wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);
    struct wsi_attached *attached = extra != NULL ? atomic_load(&extra->attached) : NULL;

    return attached != NULL ? session_of(attached) : NULL;
}

static void on_hello_late(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    (void)missed;
    wsi_v1_session_close(user, WSI_V1_CLOSE_HELLO_LATE, "no hello came in time");
}

static int set_timer(struct wsi_v1_session *session, wsock_timer **timer,
                     int64_t first_ms, int64_t every_ms, wsock_timer_fn fn)
{
    drop_timer(timer);
    return wsock_conn_timer(session->conn, timer, (uint64_t)first_ms, (uint64_t)every_ms,
                            fn, session, NULL);
}

int wsi_v1_session_open(struct wsi_v1_door *v1, wsock_conn *conn)
{
    const int64_t timeout = wsi_option(&v1->profile->options, WSI_OPT_AUTH_TIMEOUT);
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_v1_session *session = extra != NULL ? wsi_zalloc(sizeof *session) : NULL;

    if (session == NULL)
        return WSOCK_ENOMEM;
    session->attached.release = release;
    session->attached.end = end;
    session->conn = conn;
    session->is_raw = *wsock_conn_subprotocol(conn) == '\0';
    wsi_list_init(&session->late);
    session->v1 = v1;
    if (!session->is_raw)
        wsi_conn_set_form(conn, WSI_FORM_V1);
    atomic_store(&extra->attached, &session->attached);
    return set_timer(session, &session->timer, timeout, 0, on_hello_late);
}

void wsi_v1_session_end(struct wsi_v1_session *session)
{
    struct wsock_ask *ask = session->waiting;

    session->stage = WSI_V1_ENDED;
    session->waiting = NULL;
    drop_late(session);
    drop_timer(&session->timer);
    drop_timer(&session->expiry);
    drop_timer(&session->patience);
    if (ask != NULL) {
        wsi_v1_claim(ask); /* or else its answer is under way, to nobody */
        wsi_v1_ask_unref(ask);
    }
}

static void run_cut(struct wsi_mail *mail)
{
    wsock_conn *conn = WSI_CONTAINER_OF(mail, struct wsi_v1_session, cut)->conn;

    if (wsi_conn_state(conn) != WSI_CONN_CLOSED)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                     "out of memory to close it");
    wsock_conn_unref(conn);
}

/* On its worker that takes no memory. */
static void cut_off(struct wsi_v1_session *session)
{
    session->cut.run = run_cut;
    wsock_conn_ref(session->conn);
    wsi_worker_post(session->conn->worker, &session->cut);
}

void wsi_v1_session_close(struct wsi_v1_session *session, int code, const char *text)
{
    if (session->stage == WSI_V1_ENDED)
        return;
    wsi_v1_session_end(session);
    /* The peer's close frame has to be read. What comes before it is not heard. */
    if (session->paused)
        wsock_conn_resume_read(session->conn);
    /* Nobody would ever look at it again. */
    if (wsock_conn_close(session->conn, code, text) == WSOCK_ENOMEM)
        cut_off(session);
}

/* ---- time ---- */

static void on_heartbeat(wsock_timer *timer, uint64_t missed, void *user)
{
    static const char frame[] = "{\"type\":\"hb\"}";
    struct wsi_v1_session *session = user;

    (void)timer;
    (void)missed;
    /* Whose backlog is full hears from the server anyway. */
    wsock_conn_send(session->conn, WSOCK_TEXT, frame, sizeof frame - 1);
}

int wsi_v1_session_welcome(struct wsi_v1_session *session, int64_t heartbeat_ms)
{
    session->stage = WSI_V1_WELCOME;
    if (session->is_raw) {
        drop_timer(&session->timer);
        return 0;
    }
    return set_timer(session, &session->timer, heartbeat_ms, heartbeat_ms, on_heartbeat);
}

static void on_expiry(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    (void)missed;
    wsi_v1_session_close(user, WSI_V1_CLOSE_TOKEN, "the token is over");
}

int wsi_v1_session_expire(struct wsi_v1_session *session, int64_t expiry_ms)
{
    if (expiry_ms == 0) {
        drop_timer(&session->expiry);
        return 0;
    }
    return set_timer(session, &session->expiry, expiry_ms, 0, on_expiry);
}

/* ---- questions ---- */

/* What was decided is done. @param ask (consumed) */
static void finish(struct wsi_v1_session *session, struct wsock_ask *ask)
{
    if (session->stage != WSI_V1_ENDED) {
        if (ask->accepted)
            wsi_v1_carry_out(ask);
        else
            wsi_v1_turn_down(ask);
    }
    wsi_v1_ask_unref(ask);
}

void wsi_v1_session_answered(struct wsi_v1_session *session, struct wsock_ask *ask)
{
    if (session->waiting != ask)
        return;
    session->waiting = NULL;
    drop_timer(&session->patience);
    finish(session, ask);
    go_on(session);
}

static void on_no_answer(wsock_timer *timer, uint64_t missed, void *user)
{
    struct wsi_v1_session *session = user;
    struct wsock_ask *ask = session->waiting;

    (void)timer;
    (void)missed;
    if (ask == NULL || !wsi_v1_claim(ask))
        return; /* the answer is under way */
    wsi_v1_refuse(ask, "timeout", "no answer from the application in time", true);
    wsi_v1_session_answered(session, ask);
}

/* @param ask (consumed) */
static void await(struct wsi_v1_session *session, struct wsock_ask *ask)
{
    const int64_t timeout = wsi_option(&session->v1->profile->options,
                                       WSI_OPT_ASK_TIMEOUT);
    int r;

    session->waiting = ask;
    r = set_timer(session, &session->patience, timeout, 0, on_no_answer);
    if (r == 0 && !session->paused) {
        r = wsock_conn_pause_read(session->conn);
        session->paused = r == 0;
    }
    if (r < 0)
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
}

/* @param ask (consumed, nullable) */
static void take_ask(struct wsi_v1_session *session, struct wsock_ask *ask)
{
    if (ask == NULL)
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(WSOCK_ENOMEM));
    else if (!wsi_v1_may_ask(ask))
        wsi_v1_ask_unref(ask);
    else if (wsi_v1_consult(ask))
        finish(session, ask);
    else
        await(session, ask);
}

/* ---- what it sends ---- */

/* A message that is no frame, or a frame that is no request. */
static void count_broken(struct wsi_v1_session *session)
{
    if (++session->broken >= WSI_V1_BROKEN_MAX)
        wsi_v1_session_close(session, WSI_V1_CLOSE_BROKEN,
                             "one message after the other is no frame");
}

/* @param object (consumed) */
static void take_frame(struct wsi_v1_session *session, json_t *object)
{
    struct wsock_ask *ask = wsi_v1_ask_new(session, object);
    const char *code, *why = ask != NULL ? wsi_v1_read(ask, &code) : NULL;

    if (why == NULL) {
        session->broken = 0;
        take_ask(session, ask);
        return;
    }
    wsi_v1_reply_error(session, ask->id, code, why, false);
    wsi_v1_ask_unref(ask);
    count_broken(session);
}

/* @return whether there is something to take now. */
static void begin_message(struct wsi_v1_session *session, int type, const char *data,
                          size_t len)
{
    char why[160];
    const char *code;

    if (wsi_v1_parse(&session->batch, &code, why, sizeof why, type, data, len)) {
        session->next = 0;
        return;
    }
    wsi_v1_reply_error(session, NULL, code, why, false);
    count_broken(session);
}

/* What a raw member says is data, whole. */
static void take_raw(struct wsi_v1_session *session, int type, const char *data,
                     size_t len)
{
    struct wsock_ask *ask = wsi_v1_ask_new(session, NULL);

    if (ask != NULL) {
        ask->kind = WSI_V1_PUBLISH;
        ask->event = "message";
        ask->data.owned = wsi_strndup(data, len);
        ask->data = (struct wsi_v1_data){type, ask->data.owned, len, ask->data.owned};
        if (ask->data.owned == NULL) {
            wsi_v1_ask_unref(ask);
            ask = NULL;
        }
    }
    take_ask(session, ask);
}

static void take_message(struct wsi_v1_session *session, int type, const char *data,
                         size_t len)
{
    if (session->is_raw)
        take_raw(session, type, data, len);
    else
        begin_message(session, type, data, len);
}

static void take_late(struct wsi_v1_session *session)
{
    struct wsi_v1_late *late = WSI_CONTAINER_OF(wsi_list_pop(&session->late),
                                                struct wsi_v1_late, node);

    session->late_bytes -= late->len;
    take_message(session, late->type, late->data, late->len);
    wsi_free(late);
}

/* A frame leaves its batch whole: its question may end on another thread, and jansson
 * counts references in a way that is for one thread only. */
static void take_batch(struct wsi_v1_session *session)
{
    json_t *batch = session->batch, *object = json_array_get(batch, session->next);

    if (!json_is_array(batch)) {
        session->batch = NULL;
        take_frame(session, batch);
    } else if (object == NULL) {
        session->batch = NULL;
        json_decref(batch);
    } else {
        json_incref(object);
        json_array_set_new(batch, session->next++, json_null());
        take_frame(session, object);
    }
}

/* The room of the path, which nobody asked for in a frame. */
static void take_home(struct wsi_v1_session *session)
{
    struct wsock_ask *ask = wsi_v1_ask_new(session, NULL);

    session->home_is_due = false;
    if (ask != NULL) {
        ask->kind = WSI_V1_JOIN;
        ask->room = session->home;
    }
    take_ask(session, ask);
}

/* Who could not be read from again would be there for ever, unheard. */
static void resume(struct wsi_v1_session *session)
{
    const int r = wsock_conn_resume_read(session->conn);

    session->paused = false;
    if (r < 0)
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
}

/* Whether anybody is asked: not about who is gone, nor behind a hook that closed the
 * queue on which it ran. */
static bool is_served(const struct wsi_v1_session *session)
{
    const wsock_conn *conn = session->conn;

    return session->stage != WSI_V1_ENDED && wsi_conn_takes_messages(conn) &&
           (wsi_conn_queued(conn) == NULL || !wsi_queue_is_closed(conn->owner->queue));
}

/* Take what is there until a question holds it up. What is taken may come back here, by a
 * hook that answers at once; then the loop below goes on. */
static void go_on(struct wsi_v1_session *session)
{
    if (session->working)
        return;
    session->working = true;
    while (session->waiting == NULL && is_served(session)) {
        if (session->home_is_due && session->stage == WSI_V1_WELCOME)
            take_home(session);
        else if (session->batch != NULL)
            take_batch(session);
        else if (!wsi_list_is_empty(&session->late))
            take_late(session);
        else
            break;
    }
    session->working = false;
    if (session->paused && session->waiting == NULL)
        resume(session);
}

void wsi_v1_session_hello(struct wsi_v1_session *session)
{
    struct wsock_ask *ask;

    if (session->stage != WSI_V1_NEW || !is_served(session))
        return;
    ask = wsi_v1_ask_new(session, NULL);
    if (ask != NULL)
        ask->kind = WSI_V1_HELLO;
    take_ask(session, ask);
    go_on(session);
}

static void put_late(struct wsi_v1_session *session, int type, const void *data,
                     size_t len)
{
    struct wsi_v1_late *late = NULL;

    if (session->late_bytes + len > WSI_V1_WAITING_MAX) {
        wsi_v1_session_close(session, WSI_V1_CLOSE_TOO_MUCH,
                             "too much waits behind a question");
        return;
    }
    late = wsi_alloc(sizeof *late + len);
    if (late == NULL) {
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(WSOCK_ENOMEM));
        return;
    }
    late->len = len;
    late->type = type;
    if (len > 0)
        memcpy(late->data, data, len);
    wsi_list_init(&late->node);
    wsi_list_append(&session->late, &late->node);
    session->late_bytes += len;
}

void wsi_v1_session_message(struct wsi_v1_session *session, int type, const void *data,
                            size_t len)
{
    if (session->stage == WSI_V1_ENDED)
        return;
    if (session->waiting != NULL || session->batch != NULL || session->working)
        put_late(session, type, data, len);
    else if (wsi_conn_takes_messages(session->conn))
        take_message(session, type, data, len);
    go_on(session);
}
