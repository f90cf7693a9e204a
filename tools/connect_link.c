/* SPDX-License-Identifier: MIT */
/*
 * The connection of `wsock connect`: handlers on the worker hand everything to the main
 * thread, which may block on its output; and what an end means as an exit status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "tool.h"

static const char command[] = "connect";

/* Above this the connection is not read until the main thread caught up. */
#define WAITING_MAX_BYTES ((size_t)1 << 20)

/* One that closes is read in any case. Above this it is cut off. */
#define CLOSING_MAX_BYTES ((size_t)64 << 20)

/* ---- handlers ---- */

static void wake(const struct link *link)
{
    const uint64_t one = 1;

    /* Cannot fail but by overflow, and then the main thread is awake anyway. */
    if (write(link->wake_fd, &one, sizeof one) < 0)
        return;
}

static void on_open(wsock_conn *conn, void *user)
{
    struct link *link = user;

    pthread_mutex_lock(&link->lock);
    link->is_open = 1;
    if (link->is_kept) {
        wsock_conn_unref(link->newest);
        link->newest = wsock_conn_ref(conn);
        link->has_drained = 1; /* what was refused meanwhile may be sent */
    }
    pthread_mutex_unlock(&link->lock);
    wake(link);
}

/* With the lock held. */
static void add_message(struct link *link, struct message *message)
{
    *link->tail = message;
    link->tail = &message->next;
    link->waiting_bytes += sizeof *message + message->len;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct link *link = user;
    struct message *message = malloc(sizeof *message + len);
    int was_empty = 0, is_ignored = 0, is_too_much = 0;

    if (message == NULL) {
        wsock_conn_close(conn, 1011, "out of memory");
        return;
    }
    *message = (struct message){.type = type, .len = len};
    memcpy(message->data, data, len);
    pthread_mutex_lock(&link->lock);
    was_empty = link->head == NULL;
    is_ignored = link->is_ignored;
    if (!is_ignored)
        add_message(link, message);
    if (!link->is_paused && link->waiting_bytes > WAITING_MAX_BYTES)
        link->is_paused = wsock_conn_pause_read(conn) == 0;
    is_too_much = link->waiting_bytes > CLOSING_MAX_BYTES && !link->is_paused;
    pthread_mutex_unlock(&link->lock);
    if (is_ignored)
        free(message);
    else if (was_empty)
        wake(link);
    if (is_too_much)
        wsock_conn_reset(conn);
}

void link_ignore(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->is_ignored = 1;
    pthread_mutex_unlock(&link->lock);
}

static int64_t clock_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static const char ping[] = "wsock connect";

void link_ping(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->pinged_us = clock_us();
    pthread_mutex_unlock(&link->lock);
    wsock_conn_send_ping(link->conn, ping, sizeof ping);
}

int64_t link_take_round_trip(struct link *link)
{
    int64_t us = 0;

    pthread_mutex_lock(&link->lock);
    us = link->round_trip_us;
    link->round_trip_us = 0;
    pthread_mutex_unlock(&link->lock);
    return us;
}

static void on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    struct link *link = user;

    (void)conn;
    if (len != sizeof ping || memcmp(data, ping, len) != 0)
        return;
    pthread_mutex_lock(&link->lock);
    if (link->pinged_us != 0)
        link->round_trip_us = clock_us() - link->pinged_us + 1;
    link->pinged_us = 0;
    pthread_mutex_unlock(&link->lock);
    wake(link);
}

static void on_drain(wsock_conn *conn, void *user)
{
    struct link *link = user;

    (void)conn;
    pthread_mutex_lock(&link->lock);
    link->has_drained = 1;
    pthread_mutex_unlock(&link->lock);
    wake(link);
}

/* With the lock held. */
static void note_outcome(struct link *link, const wsock_close_info *info)
{
    struct outcome *outcome = &link->outcome;

    outcome->cause = info->cause;
    outcome->code = info->code;
    outcome->http_status = info->http_status;
    outcome->began = info->began;
    outcome->opened = info->opened;
    snprintf(outcome->reason, sizeof outcome->reason, "%s", info->reason);
    snprintf(outcome->detail, sizeof outcome->detail, "%s%s%s",
             info->detail[0] != '\0' ? info->detail : wsock_cause_text(info->cause),
             link->hint != NULL ? "; " : "", link->hint != NULL ? link->hint : "");
    link->hint = NULL;
}

/* Where a redirect that is not followed leads: it comes from the peer, who shall not
 * steer the terminal. With the lock held. */
static void note_location(struct link *link, const wsock_conn *conn, int status)
{
    const char *location = wsock_conn_response_header(conn, "Location");
    char *out = link->location;
    int64_t followed = 0;

    wsock_client_get_int64(link->client, "max_redirects", &followed);
    if (followed == 0 && status >= 300 && status < 400 && location != NULL)
        for (; *location != '\0' && out < link->location + sizeof link->location - 1;
             location++)
            *out++ = (char)(*location > ' ' && *location < 0x7f ? *location : '?');
    *out = '\0';
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct link *link = user;

    pthread_mutex_lock(&link->lock);
    note_location(link, conn, info->http_status);
    wsock_conn_unref(link->ended);
    link->ended = wsock_conn_ref(conn);
    link->hint = way_hint(conn, info);
    if (link->is_kept) {
        link->is_open = 0;
        link->is_paused = 0;
    } else {
        note_outcome(link, info);
        link->has_closed = 1;
    }
    pthread_mutex_unlock(&link->lock);
    wake(link);
}

void wait_fini(struct wait *wait)
{
    wsock_conn_unref(wait->ended);
}

/* The oldest, of one that is kept. @return (owned) */
static struct wait shift_wait(struct link *link)
{
    const struct wait wait = link->waits[link->wait_first];

    link->wait_first = (link->wait_first + 1) % WAITS_MAX;
    link->wait_count--;
    return wait;
}

static void drop_wait(struct link *link)
{
    struct wait wait = shift_wait(link);

    wait_fini(&wait);
}

/* With the lock held, after note_outcome(). */
static void note_wait(struct link *link, int64_t ms)
{
    if (link->wait_count == WAITS_MAX)
        drop_wait(link);
    link->waits[(link->wait_first + link->wait_count) % WAITS_MAX] = (struct wait){
        .ms = ms, .before = link->outcome, .ended = link->ended};
    link->ended = NULL;
    link->wait_count++;
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct link *link = user;
    int64_t attempts = 0;

    if (info->why == NULL)
        return;
    wsock_client_get_int64(client, "reconnect_attempts", &attempts);
    pthread_mutex_lock(&link->lock);
    note_outcome(link, info->why);
    link->gave_up_by = attempts > 0 && info->attempt > attempts /* 0: off */
                           ? "reconnect_attempts"
                           : "reconnect_stop";
    if (info->state == WSOCK_STATE_WAITING)
        note_wait(link, info->delay_ms);
    else
        link->has_closed = 1;
    pthread_mutex_unlock(&link->lock);
    wake(link);
}

/* ---- making one ---- */

static int setup_tls(wsock_client *client, const struct connect_plan *plan)
{
    const struct {
        const char *flag, *name, *value;
    } sets[] = {
        {"--ca", "tls_ca", plan->ca},
        {"--cert", "tls_certificate", plan->cert},
        {"--key", "tls_key", plan->key},
        {"--insecure", "tls_verify", plan->is_insecure ? "off" : NULL},
    };

    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (sets[i].value != NULL &&
            wsock_client_set(client, sets[i].name, sets[i].value) < 0)
            return usage_error(command, "%s: %s", sets[i].flag,
                               wsock_client_error(client));
    return 0;
}

static int setup_client(wsock_client *client, const struct connect_plan *plan)
{
    int status = setup_tls(client, plan);

    if (status == 0)
        status = way_set(command, &plan->way, client);

    for (const char *const *p = plan->headers; status == 0 && *p != NULL; p++)
        status = client_add_header(command, client, *p);
    for (const char *const *p = plan->subprotocols; status == 0 && *p != NULL; p++) {
        const int r = wsock_client_add_subprotocol(client, *p);

        if (r < 0)
            status = usage_error(command, "--subprotocol \"%s\": %s", *p,
                                 wsock_strerror(r));
    }
    for (const char *const *p = plan->sets; status == 0 && *p != NULL; p++)
        status = set_option(command, NULL, NULL, NULL, client, *p);
    return status;
}

static int start(struct link *link)
{
    int r = wsock_client_on_open(link->client, on_open, link, NULL);

    if (r == 0)
        r = wsock_client_on_message(link->client, on_message, link, NULL);
    if (r == 0)
        r = wsock_client_on_drain(link->client, on_drain, link, NULL);
    if (r == 0)
        r = wsock_client_on_pong(link->client, on_pong, link, NULL);
    if (r == 0)
        r = wsock_client_on_close(link->client, on_close, link, NULL);
    if (r == 0)
        r = wsock_client_on_state(link->client, on_state, link, NULL);
    if (r == 0)
        r = link->is_kept ? wsock_client_start(link->client)
                          : wsock_client_connect(link->client, &link->conn);
    if (r < 0)
        fail_by_flag(command, "cannot connect: ", wsock_client_error(link->client));
    if (r == WSOCK_ETLS || r == WSOCK_ENOTSUP)
        return EXIT_TLS;
    return r < 0 ? EXIT_FAILED : 0;
}

int link_open(struct link **out, wsock_runtime *runtime, const struct connect_plan *plan,
              const char *url, int wake_fd)
{
    struct link *link = calloc(1, sizeof *link);
    int status = 0;
    int r = 0;

    *out = NULL;
    if (link == NULL)
        return fail(command, "out of memory");
    pthread_mutex_init(&link->lock, NULL);
    link->wake_fd = wake_fd;
    link->tail = &link->head;
    link->is_kept = plan->is_kept;
    r = wsock_runtime_client(runtime, &link->client, url);
    status = r < 0 ? client_refuse_url(command, runtime, r, url)
                   : setup_client(link->client, plan);
    if (status == 0)
        status = start(link);
    if (status == 0)
        *out = link;
    else
        link_free(link);
    return status;
}

void link_free(struct link *link)
{
    while (link->head != NULL) {
        struct message *message = link->head;

        link->head = message->next;
        free(message);
    }
    while (link->wait_count > 0)
        drop_wait(link);
    wsock_conn_unref(link->ended);
    wsock_conn_unref(link->newest);
    wsock_conn_unref(link->conn);
    wsock_client_unref(link->client);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

struct message *link_take(struct link *link, int *is_open, int *has_drained,
                          int *has_closed)
{
    struct message *messages = NULL;
    wsock_conn *before = NULL;
    int resume = 0;

    pthread_mutex_lock(&link->lock);
    if (link->newest != NULL) {
        before = link->conn;
        link->conn = link->newest;
        link->newest = NULL;
    }
    messages = link->head;
    link->head = NULL;
    link->tail = &link->head;
    link->waiting_bytes = 0;
    resume = link->is_paused;
    link->is_paused = 0;
    *is_open = link->is_open;
    *has_drained = link->has_drained;
    *has_closed = link->has_closed;
    link->has_drained = 0;
    pthread_mutex_unlock(&link->lock);
    wsock_conn_unref(before);
    if (resume)
        wsock_conn_resume_read(link->conn);
    return messages;
}

int link_take_wait(struct link *link, struct wait *out)
{
    int waits = 0;

    pthread_mutex_lock(&link->lock);
    waits = link->wait_count > 0;
    if (waits)
        *out = shift_wait(link);
    pthread_mutex_unlock(&link->lock);
    return waits;
}

int link_send(struct link *link, int type, const char *data, size_t len)
{
    return link->is_kept ? wsock_client_send(link->client, type, data, len)
                         : wsock_conn_send(link->conn, type, data, len);
}

void link_close(struct link *link, int code)
{
    if (link->is_kept)
        wsock_client_stop(link->client, code, NULL);
    else
        wsock_conn_close(link->conn, code, NULL);
}

void link_reset(struct link *link)
{
    if (link->conn != NULL)
        wsock_conn_reset(link->conn);
}

/* ---- ends ---- */

static int status_of(const struct outcome *outcome)
{
    switch (outcome->cause) {
    case WSOCK_CAUSE_CLOSED:
        return outcome->code == 1000 || outcome->code == 1001 || outcome->code == 1005
                   ? EXIT_OK
                   : EXIT_FAILED;
    case WSOCK_CAUSE_RESOLVE:
    case WSOCK_CAUSE_CONNECT:
    case WSOCK_CAUSE_PROXY:
        return EXIT_CONNECT;
    case WSOCK_CAUSE_HANDSHAKE:
    case WSOCK_CAUSE_REFUSED:
        return EXIT_HTTP;
    case WSOCK_CAUSE_IDLE:
    case WSOCK_CAUSE_WRITE_STALL:
    case WSOCK_CAUSE_CLOSE_TIMEOUT:
    case WSOCK_CAUSE_CONNECT_TIMEOUT:
    case WSOCK_CAUSE_HANDSHAKE_TIMEOUT:
    case WSOCK_CAUSE_TLS_TIMEOUT:
        return EXIT_TIMEOUT;
    case WSOCK_CAUSE_TLS:
    case WSOCK_CAUSE_CERTIFICATE:
        return EXIT_TLS;
    case WSOCK_CAUSE_LOST:
        return outcome->opened ? EXIT_LOST : EXIT_CONNECT;
    default:
        return EXIT_FAILED;
    }
}

/* The option of the library that a sentence names, or NULL. */
static const char *option_named_in(const char *sentence)
{
    wsock_option_info info = {.size = sizeof info};

    for (size_t i = 0; wsock_option_at(&info, i) == 0; i++) {
        if (strstr(sentence, info.name) != NULL)
            return info.name;
    }
    return NULL;
}

static int outcome_status(const struct outcome *outcome, int is_verbose)
{
    const int status = status_of(outcome);

    if (outcome->cause == WSOCK_CAUSE_CLOSED) {
        const char *who = outcome->began == WSOCK_BY_PEER ? " by the server" : "";

        if (status != EXIT_OK || is_verbose)
            fail(command, "closed%s with %d%s%s", who, (int)outcome->code,
                 outcome->reason[0] != '\0' ? ": " : "", outcome->reason);
    } else {
        const char *limit = outcome->cause == WSOCK_CAUSE_LIMIT
                                ? option_named_in(outcome->detail)
                                : NULL;

        fail(command, "%s%s%s%s", outcome->detail, limit != NULL ? " (ours: --set " : "",
             limit != NULL ? limit : "", limit != NULL ? "=... raises it)" : "");
    }
    return status;
}

int link_status(const struct link *link, int is_verbose, int is_stopped)
{
    const int status = outcome_status(&link->outcome, is_verbose);

    if (link->location[0] != '\0')
        fail(command, "the answer leads to %s; -L follows redirects", link->location);
    if (link->is_kept && !is_stopped)
        fail(command, "not tried again (%s)", link->gave_up_by);
    return status;
}
