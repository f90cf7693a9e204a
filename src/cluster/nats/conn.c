/* SPDX-License-Identifier: MIT */
/*
 * Connections of libnats: opening, what they tell, ending.
 *
 * libnats is kept from touching the process: the disposition of SIGPIPE, which nats_Open
 * changes, is put back, and all threads that it makes are made with signals blocked, so
 * that none of the program's handlers runs on them, and a SIGPIPE of theirs (TLS writes
 * without MSG_NOSIGNAL) harms nobody. It aborts when there is no key left for data of
 * threads, which is looked at first.
 *
 * It calls back for a while after it was told to end, and does not always say when it is
 * done; so what it hands back is the number of a connection, which is looked up.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wsock/runtime.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"
#include "core/str.h"

enum { OPENING_MS = 500 };

struct wsi_conn {
    struct wsi_list node; /* in conns, until it was dropped; under their lock, as uses */
    uintptr_t number;
    unsigned uses;    /* of the bus and the thread that opens it */
    unsigned callers; /* that are inside */
    bool is_opening;  /* by that thread */

    pthread_mutex_t lock; /* what follows, up to the blank line */
    struct wsi_bus *bus;  /* NULL: it was dropped */
    enum wsi_conn_state state;
    char why[WSI_BUS_WHY_SIZE];
    bool lost;
    natsConnection *nc; /* (nullable) the driver's, once it is open */

    natsOptions *options; /* the opening thread's */
    char host[WSI_NATS_HOST_SIZE + 16];
};

/* ---- the library ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *unusable;

void wsi_conn_block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                                 SIGABRT, SIGTRAP, SIGSYS};
    sigset_t all;

    sigfillset(&all);
    /* Who reports what went wrong in the process wants to see these. */
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

static bool has_keys(void)
{
    pthread_key_t keys[8];
    int n = 0;

    while (n < 8 && pthread_key_create(&keys[n], NULL) == 0)
        n++;
    for (int i = 0; i < n; i++)
        pthread_key_delete(keys[i]);
    return n == 8;
}

static void start_library(void)
{
    struct sigaction before;
    sigset_t mask;

    if (!has_keys() || !wsi_shield_init()) {
        unusable = "the process has no keys left for data of threads";
        return;
    }
    wsi_conn_block_signals(&mask);
    sigaction(SIGPIPE, NULL, &before);
    if (nats_Open(-1) != NATS_OK)
        unusable = "libnats does not start";
    sigaction(SIGPIPE, &before, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

const char *wsi_conn_library(void)
{
    pthread_once(&once, start_library);
    return unusable;
}

/* ---- which there are ---- */

static pthread_mutex_t conns_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t conns_changed = PTHREAD_COND_INITIALIZER;
static struct wsi_list conns = {&conns, &conns};
static uintptr_t numbers;

static void unref(struct wsi_conn *conn, bool ends_opening)
{
    bool unused;

    pthread_mutex_lock(&conns_lock);
    unused = --conn->uses == 0;
    conn->is_opening = conn->is_opening && !ends_opening;
    pthread_cond_broadcast(&conns_changed);
    pthread_mutex_unlock(&conns_lock);
    if (!unused)
        return;
    natsOptions_Destroy(conn->options);
    pthread_mutex_destroy(&conn->lock);
    wsi_free(conn);
}

/* @return (nullable) NULL: it was dropped. leave() follows. */
static struct wsi_conn *find(void *closure)
{
    struct wsi_conn *found = NULL;

    pthread_mutex_lock(&conns_lock);
    WSI_LIST_EACH(node, &conns)
    {
        struct wsi_conn *conn = WSI_CONTAINER_OF(node, struct wsi_conn, node);

        if (conn->number == (uintptr_t)closure)
            found = conn;
    }
    if (found != NULL)
        found->callers++;
    pthread_mutex_unlock(&conns_lock);
    return found;
}

static void leave(struct wsi_conn *conn)
{
    pthread_mutex_lock(&conns_lock);
    conn->callers--;
    pthread_cond_broadcast(&conns_changed);
    pthread_mutex_unlock(&conns_lock);
}

/* Nobody is inside any more, and nobody comes. A thread that opens it is waited for only
 * a little: it may be long in coming, and needs nothing but the connection. */
static void retire(struct wsi_conn *conn)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)OPENING_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&conns_lock);
    wsi_list_remove(&conn->node);
    while (conn->callers > 0)
        pthread_cond_wait(&conns_changed, &conns_lock);
    while (conn->is_opening &&
           pthread_cond_timedwait(&conns_changed, &conns_lock, &until) == 0)
        ;
    pthread_mutex_unlock(&conns_lock);
}

static void *closure_of(const struct wsi_conn *conn)
{
    return (void *)conn->number; /* NOLINT(performance-no-int-to-ptr): it is none */
}

static void stir(struct wsi_bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    bus->stirred = true;
    pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

/* ---- what libnats tells ---- */

/* With the connection's lock held. @return whether it took the message over. */
static bool queue(struct wsi_conn *conn, natsMsg *msg, bool broad)
{
    struct wsi_bus *bus = conn->bus;
    const size_t len = (size_t)natsMsg_GetDataLength(msg) + sizeof(struct wsi_event);
    struct wsi_event *event = wsi_alloc(sizeof *event);
    bool taken = false;

    pthread_mutex_lock(&bus->lock);
    if (event != NULL && bus->event_bytes <= bus->answer_bytes + bus->queue_bytes) {
        *event = (struct wsi_event){.conn = conn->number, .msg = msg, .broad = broad};
        *(bus->events != NULL ? &bus->newest_event->next : &bus->events) = event;
        bus->newest_event = event;
        bus->event_bytes += len;
        taken = true;
    }
    bus->stirred = true;
    pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
    if (!taken)
        wsi_free(event);
    return taken;
}

static void take(void *closure, natsMsg *msg, bool broad)
{
    struct wsi_conn *conn = find(closure);
    bool taken = false;

    if (conn != NULL) {
        pthread_mutex_lock(&conn->lock);
        if (conn->bus != NULL && msg != NULL) {
            taken = queue(conn, msg, broad);
            if (!taken)
                conn->lost = true;
        }
        pthread_mutex_unlock(&conn->lock);
        leave(conn);
    }
    if (!taken)
        natsMsg_Destroy(msg);
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg,
                       void *closure)
{
    (void)nc, (void)sub;
    take(closure, msg, false);
}

static void on_broad_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg,
                             void *closure)
{
    (void)nc, (void)sub;
    take(closure, msg, true);
}

/* libnats says before its own words where in its source they are: "(conn.c:773): ".
 * @param text (nullable) */
static const char *without_place(const char *text)
{
    const char *end = text != NULL && text[0] == '(' ? strstr(text, "): ") : NULL;

    return end != NULL ? end + 3 : text != NULL ? text : "";
}

/* What the status does not say already. */
static const char *beyond(natsStatus status, const char *text)
{
    const char *said = without_place(text);

    return strcmp(said, natsStatus_GetText(status)) != 0 ? said : "";
}

static void on_closed(natsConnection *nc, void *closure)
{
    struct wsi_conn *conn = find(closure);
    const char *text = NULL;

    if (conn == NULL)
        return;
    pthread_mutex_lock(&conn->lock);
    conn->state = WSI_CONN_OVER;
    (void)natsConnection_GetLastError(nc, &text);
    text = wsi_shield_refusal(nc) != NULL ? wsi_shield_refusal(nc) : without_place(text);
    snprintf(conn->why, sizeof conn->why, "the connection to %.100s has ended%s%s",
             conn->host, *text != '\0' ? ": " : "", text);
    if (conn->bus != NULL)
        stir(conn->bus);
    pthread_mutex_unlock(&conn->lock);
    leave(conn);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status,
                     void *closure)
{
    struct wsi_conn *conn = find(closure);
    const char *text = NULL;

    (void)sub;
    if (conn == NULL)
        return;
    (void)natsConnection_GetLastError(nc, &text);
    pthread_mutex_lock(&conn->lock);
    if (status == NATS_SLOW_CONSUMER)
        conn->lost = true;
    if (conn->bus != NULL) {
        text = beyond(status, text);
        wsi_adapter_log(&conn->bus->services, WSOCK_LOG_WARN, "%s: %s%s%s", conn->host,
                        natsStatus_GetText(status), *text != '\0' ? ": " : "", text);
        stir(conn->bus);
    }
    pthread_mutex_unlock(&conn->lock);
    leave(conn);
}

/* ---- opening ---- */

static natsStatus set_tls(natsOptions *options, const struct wsi_bus *bus,
                          const char *host)
{
    natsStatus s = natsOptions_SetSecure(options, true);

    if (s == NATS_OK && !bus->verify)
        s = natsOptions_SkipServerVerification(options, true);
    else if (s == NATS_OK)
        s = natsOptions_SetExpectedHostname(options, host);
    if (s == NATS_OK && bus->ca != NULL)
        s = natsOptions_LoadCATrustedCertificates(options, bus->ca);
    if (s == NATS_OK && bus->cert != NULL)
        s = natsOptions_LoadCertificatesChain(options, bus->cert,
                                              bus->key != NULL ? bus->key : bus->cert);
    return s;
}

static natsStatus set_login(natsOptions *options, const struct wsi_nats_target *target)
{
    if (target->password[0] != '\0')
        return natsOptions_SetUserInfo(options, target->user, target->password);
    return target->user[0] != '\0' ? natsOptions_SetToken(options, target->user)
                                   : NATS_OK;
}

static natsStatus set_options(struct wsi_conn *conn, const struct wsi_bus *bus,
                              const char *host)
{
    const int64_t timeout = (int64_t)bus->timeout_ms;
    natsOptions *options = conn->options;
    char url[WSI_NATS_HOST_SIZE + 32];
    natsStatus s;

    snprintf(url, sizeof url, "%s://%s", bus->target.tls ? "tls" : "nats", conn->host);
    s = natsOptions_SetURL(options, url);
    if (s == NATS_OK)
        s = natsOptions_SetAllowReconnect(options, false);
    if (s == NATS_OK)
        s = natsOptions_SetTimeout(options, timeout);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(options, timeout);
    if (s == NATS_OK)
        s = natsOptions_UseGlobalMessageDelivery(options, true);
    /* Otherwise a thread of libnats sends, a millisecond later. */
    if (s == NATS_OK)
        s = natsOptions_SetSendAsap(options, true);
    if (s == NATS_OK)
        s = natsOptions_SetName(options, "wsock");
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(options, on_closed, closure_of(conn));
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(options, on_error, closure_of(conn));
    if (s == NATS_OK)
        s = set_login(options, &bus->target);
    if (s == NATS_OK && bus->target.tls)
        s = set_tls(options, bus, host);
    return s;
}

static void *connect_it(void *user)
{
    struct wsi_conn *conn = user;
    natsConnection *nc = NULL;
    const natsStatus s = natsConnection_Connect(&nc, conn->options);
    const char *text = s != NATS_OK ? nats_GetLastError(NULL) : NULL;
    bool dropped;

    pthread_mutex_lock(&conn->lock);
    dropped = conn->bus == NULL;
    if (s == NATS_OK && !dropped) {
        conn->nc = nc;
        if (conn->state == WSI_CONN_OPENING)
            conn->state = WSI_CONN_OPEN;
    } else if (s != NATS_OK) {
        conn->state = WSI_CONN_OVER;
        text = beyond(s, text);
        snprintf(conn->why, sizeof conn->why, "%.100s: %s%s%s", conn->host,
                 natsStatus_GetText(s), *text != '\0' ? ": " : "", text);
    }
    if (!dropped)
        stir(conn->bus);
    pthread_mutex_unlock(&conn->lock);
    if (s == NATS_OK && dropped)
        natsConnection_Destroy(nc);
    unref(conn, true);
    return NULL;
}

static bool start_thread(struct wsi_conn *conn)
{
    pthread_t thread;
    sigset_t mask;
    int r;

    wsi_conn_block_signals(&mask);
    r = pthread_create(&thread, NULL, connect_it, conn);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (r == 0)
        pthread_detach(thread);
    return r == 0;
}

struct wsi_conn *wsi_conn_open(struct wsi_bus *bus)
{
    const unsigned which = bus->next_host++ % bus->target.host_count;
    const char *host = bus->target.hosts[which].name;
    struct wsi_conn *conn = wsi_zalloc(sizeof *conn);
    const char *text;
    natsStatus s;

    if (conn == NULL)
        return NULL;
    pthread_mutex_init(&conn->lock, NULL);
    pthread_mutex_lock(&conns_lock);
    conn->uses = 2;
    conn->is_opening = true;
    conn->number = ++numbers;
    wsi_list_append(&conns, &conn->node);
    pthread_mutex_unlock(&conns_lock);
    conn->bus = bus;
    snprintf(conn->host, sizeof conn->host,
             strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
             bus->target.hosts[which].port);
    s = natsOptions_Create(&conn->options);
    if (s == NATS_OK)
        s = set_options(conn, bus, host);
    if (s == NATS_OK && start_thread(conn))
        return conn;
    text = s != NATS_OK ? nats_GetLastError(NULL) : "no thread could be made";
    conn->state = WSI_CONN_OVER;
    snprintf(conn->why, sizeof conn->why, "%.100s: %s", conn->host, without_place(text));
    unref(conn, true);
    return conn;
}

uintptr_t wsi_conn_number(const struct wsi_conn *conn)
{
    return conn != NULL ? conn->number : 0;
}

enum wsi_conn_state wsi_conn_state(struct wsi_conn *conn, char *why)
{
    enum wsi_conn_state state;

    pthread_mutex_lock(&conn->lock);
    state = conn->state;
    memcpy(why, conn->why, sizeof conn->why);
    pthread_mutex_unlock(&conn->lock);
    wsi_str_flatten_ascii(why); /* the broker's words may be in it */
    return state;
}

bool wsi_conn_lost(struct wsi_conn *conn)
{
    bool lost;

    pthread_mutex_lock(&conn->lock);
    lost = conn->lost;
    conn->lost = false;
    pthread_mutex_unlock(&conn->lock);
    return lost;
}

void wsi_conn_drop(struct wsi_conn *conn)
{
    natsConnection *nc;

    if (conn == NULL)
        return;
    pthread_mutex_lock(&conn->lock);
    conn->bus = NULL;
    nc = conn->nc;
    conn->nc = NULL;
    pthread_mutex_unlock(&conn->lock);
    natsConnection_Destroy(nc);
    retire(conn);
    unref(conn, false);
}

/* ---- using one ---- */

natsSubscription *wsi_conn_subscribe(struct wsi_conn *conn, const char *subject,
                                     bool broad)
{
    natsSubscription *subscription = NULL;

    return natsConnection_Subscribe(&subscription, conn->nc, subject,
                                    broad ? on_broad_message : on_message,
                                    closure_of(conn)) == NATS_OK
               ? subscription
               : NULL;
}

void wsi_conn_unsubscribe(natsSubscription *subscription)
{
    (void)natsSubscription_Unsubscribe(subscription);
    natsSubscription_Destroy(subscription);
}

static bool is_sent(natsStatus s, const char **why)
{
    *why = s == NATS_MAX_PAYLOAD
               ? "the message is larger than the broker takes (max_payload)"
               : natsStatus_GetText(s);
    return s == NATS_OK;
}

bool wsi_conn_send(struct wsi_conn *conn, const char *subject, const char *reply,
                   struct wsi_bytes bytes, const char **why)
{
    return is_sent(
        reply != NULL
            ? natsConnection_PublishRequest(conn->nc, subject, reply, bytes.data,
                                            (int)bytes.len)
            : natsConnection_Publish(conn->nc, subject, bytes.data, (int)bytes.len),
        why);
}

bool wsi_conn_send_msg(struct wsi_conn *conn, natsMsg *msg, const char **why)
{
    return is_sent(natsConnection_PublishMsg(conn->nc, msg), why);
}
