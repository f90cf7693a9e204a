/* SPDX-License-Identifier: MIT */
/* Listening sockets, from a URL to connections on their workers. */
#include "conn/acceptor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "core/alloc.h"
#include "core/blob.h"
#include "core/errno_text.h"
#include "io/sockets.h"

enum { ADDRESSES_MAX = 16, URL_MAX = 512 };

/* One listening socket on one worker. An update brings it to what is wanted of it. The
 * end is mail of its own, sent once and behind the last update: after it, whoever sent it
 * does not know the socket any more. */
struct wsi_accept_socket {
    struct wsi_mail update, end;
    atomic_bool posted; /* the update is under way */
    struct wsi_listener listener;
    struct wsi_service *service; /* a reference and a task */
    struct wsi_worker *worker;
    int fd;
    struct wsi_blob *local; /* (owned, nullable) its address as text, if just one */
    bool started;
    bool deals; /* connections to all workers in turn */
    bool secure;
    char *path; /* (owned, nullable) of a Unix socket, removed at the end */
};

/* An accepted connection on its way to another worker. */
struct dealt {
    struct wsi_mail mail;
    struct wsi_service *service; /* a reference and a task */
    struct wsi_worker *worker;
    struct wsi_arrival arrival; /* and a reference to `local` */
};

/* Any worker's will do for what is not about one of its descriptors. */
static const struct wsi_sockets *sockets_of(const struct wsi_service *service,
                                            void **state)
{
    return wsi_loop_sockets(service->owner.pool->workers[0].loop, state);
}

static struct wsi_accept_socket *socket_of(struct wsi_listener *listener)
{
    return WSI_CONTAINER_OF(listener, struct wsi_accept_socket, listener);
}

static void run_dealt(struct wsi_mail *mail)
{
    struct dealt *dealt = WSI_CONTAINER_OF(mail, struct dealt, mail);
    struct wsi_service *service = dealt->service;

    wsi_service_adopt(service, dealt->worker, &dealt->arrival);
    wsi_blob_unref(dealt->arrival.local);
    wsi_free(dealt);
    wsi_service_task_done(service);
    wsi_owner_unref(&service->owner);
}

static void deal(struct wsi_accept_socket *sock, struct wsi_worker *worker,
                 const struct wsi_arrival *arrival)
{
    struct dealt *dealt = wsi_alloc(sizeof *dealt);

    if (dealt == NULL) {
        wsi_socket_close(sock->worker->loop, arrival->fd);
        return;
    }
    dealt->mail.run = run_dealt;
    dealt->service = sock->service;
    dealt->worker = worker;
    dealt->arrival = *arrival;
    if (arrival->local != NULL)
        wsi_blob_ref(arrival->local);
    wsi_owner_ref(&sock->service->owner);
    wsi_service_task(sock->service);
    wsi_worker_post(worker, &dealt->mail);
}

static void on_accept(struct wsi_listener *listener, int fd,
                      const struct wsi_address *peer)
{
    struct wsi_accept_socket *sock = socket_of(listener);
    struct wsi_worker *worker = sock->worker;
    const struct wsi_arrival arrival = {
        .peer = *peer, .local = sock->local, .fd = fd, .secure = sock->secure};

    if (sock->deals)
        worker = wsi_pool_pick(worker->pool);
    if (worker == sock->worker)
        wsi_service_adopt(sock->service, worker, &arrival);
    else
        deal(sock, worker, &arrival);
}

static void on_starved(struct wsi_listener *listener, int error)
{
    wsi_log(&socket_of(listener)->worker->pool->log, WSOCK_LOG_WARN, "listener",
            "cannot accept: %s; trying again soon", wsi_errno_text(error));
}

static void free_socket(struct wsi_accept_socket *sock)
{
    struct wsi_service *service = sock->service;
    void *state;
    const struct wsi_sockets *sockets = sockets_of(service, &state);

    sockets->close(state, sock->fd, false);
    if (sock->path != NULL)
        sockets->remove_path(state, sock->path);
    wsi_free(sock->path);
    wsi_blob_unref(sock->local);
    wsi_free(sock);
    wsi_service_task_done(service);
    wsi_owner_unref(&service->owner);
}

static void run_update(struct wsi_mail *mail)
{
    struct wsi_accept_socket *sock = WSI_CONTAINER_OF(mail, struct wsi_accept_socket,
                                                      update);

    atomic_store(&sock->posted, false);
    if (!sock->started) {
        sock->listener.on_accept = on_accept;
        sock->listener.on_starved = on_starved;
        if (wsi_listener_start(&sock->listener, sock->worker->loop, sock->fd) < 0) {
            wsi_log(&sock->worker->pool->log, WSOCK_LOG_ERROR, "listener",
                    "cannot be watched: %s", wsi_errno_text(errno));
            return;
        }
        sock->started = true;
    }
    if (atomic_load(&sock->service->accept_paused))
        wsi_listener_pause(&sock->listener);
    else
        wsi_listener_resume(&sock->listener);
}

static void run_end(struct wsi_mail *mail)
{
    struct wsi_accept_socket *sock = WSI_CONTAINER_OF(mail, struct wsi_accept_socket,
                                                      end);

    if (sock->started)
        wsi_listener_stop(&sock->listener);
    free_socket(sock);
}

void wsi_acceptor_update(struct wsi_acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->count; i++) {
        struct wsi_accept_socket *sock = acceptor->sockets[i];

        if (!atomic_exchange(&sock->posted, true))
            wsi_worker_post(sock->worker, &sock->update);
    }
}

void wsi_acceptor_close(struct wsi_acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->count; i++) {
        struct wsi_accept_socket *sock = acceptor->sockets[i];

        wsi_worker_post(sock->worker, &sock->end);
    }
    wsi_free(acceptor->asked);
    wsi_free(acceptor->url);
    wsi_free(acceptor);
}

/* ---- opening ---- */

struct plan {
    struct wsi_url url; /* of a descriptor `secure` alone */
    int given;          /* the descriptor, or -1 */
    struct wsi_address addresses[ADDRESSES_MAX];
    size_t count;
    int backlog;
    bool reuse_port;
};

static int plan_addresses(struct plan *plan, const struct wsi_service *service, char *why,
                          size_t why_size)
{
    void *state;
    const struct wsi_sockets *sockets = sockets_of(service, &state);
    char name[256];
    const struct wsi_str from = plan->url.is_unix ? plan->url.path : plan->url.host;
    int r;

    snprintf(name, sizeof name, "%.*s", (int)from.len, from.ptr);
    plan->count = 1;
    if (plan->url.is_unix) {
        r = wsi_address_unix(&plan->addresses[0], name);
        if (r < 0)
            snprintf(why, why_size, "the path is too long for a socket");
        return r;
    }
    if (strcmp(name, "*") == 0 && sockets->lookup == NULL) {
        wsi_address_any(&plan->addresses[0], plan->url.port);
        return 0;
    }
    if (wsi_address_numeric(&plan->addresses[0], name, plan->url.port))
        return 0;
    if (sockets->lookup != NULL)
        r = sockets->lookup(state, name, plan->url.port, &plan->addresses[0])
                ? 1
                : WSOCK_ERESOLVE;
    else
        r = wsi_address_lookup(plan->addresses, ADDRESSES_MAX, name, plan->url.port);
    if (r < 0) {
        snprintf(why, why_size,
                 r == WSOCK_ENOMEM ? "out of memory for looking up %s"
                                   : "cannot resolve %s",
                 name);
        return r;
    }
    plan->count = (size_t)r;
    return 0;
}

/* "ws+fd:3". @return the descriptor; -1 for other URLs. */
static int given_fd(const char *text, bool *secure)
{
    unsigned long number;
    char *end = NULL;

    *secure = strncmp(text, "wss+fd:", 7) == 0;
    if (!*secure && strncmp(text, "ws+fd:", 6) != 0)
        return -1;
    text = strchr(text, ':') + 1;
    number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : ULONG_MAX;
    return number <= INT_MAX && *end == '\0' ? (int)number : -1;
}

static int plan_given(struct plan *plan, const struct wsi_service *service, char *why,
                      size_t why_size)
{
    void *state;

    if (sockets_of(service, &state)->lookup != NULL) {
        snprintf(why, why_size, "there are no descriptors on a network in memory");
        return WSOCK_ENOTSUP;
    }
    plan->count = 1;
    if (wsi_address_local(&plan->addresses[0], plan->given) == 0)
        return 0;
    snprintf(why, why_size, "%s", wsi_errno_text(errno));
    return WSOCK_EINVAL;
}

static int plan_from(struct plan *plan, const struct wsi_service *service,
                     const char *text, char *why, size_t why_size)
{
    const struct wsi_options *options = &service->profile.options;
    const char *reason = NULL;

    plan->url = (struct wsi_url){0};
    plan->backlog = (int)wsi_option(options, WSI_OPT_LISTEN_BACKLOG);
    plan->reuse_port = false;
    plan->given = given_fd(text, &plan->url.secure);
    if (plan->given >= 0)
        return plan_given(plan, service, why, why_size);
    if (wsi_url_parse(text, &plan->url, &reason) < 0) {
        snprintf(why, why_size, "%s", reason);
        return WSOCK_EURL;
    }
    if (plan->url.target.len > 1 || plan->url.userinfo.len > 0) {
        snprintf(why, why_size,
                 "a listener has no path and no user; endpoints have paths");
        return WSOCK_ENOTSUP;
    }
    plan->reuse_port = wsi_option(options, WSI_OPT_REUSE_PORT) != 0 && !plan->url.is_unix;
    return plan_addresses(plan, service, why, why_size);
}

/* Before there is a descriptor: a Unix socket that is bound leaves its path behind. */
static struct wsi_accept_socket *new_socket(const struct plan *plan)
{
    struct wsi_accept_socket *sock = wsi_zalloc(sizeof *sock);

    if (sock == NULL || !plan->url.is_unix)
        return sock;
    sock->path = wsi_strndup(plan->url.path.ptr, plan->url.path.len);
    if (sock->path != NULL)
        return sock;
    wsi_free(sock);
    return NULL;
}

static void add_socket(struct wsi_acceptor *acceptor, struct wsi_service *service,
                       struct wsi_worker *worker, struct wsi_accept_socket *sock,
                       const struct plan *plan)
{
    sock->update.run = run_update;
    sock->end.run = run_end;
    sock->service = service;
    sock->deals = !plan->reuse_port;
    sock->secure = plan->url.secure;
    sock->worker = worker;
    wsi_owner_ref(&service->owner);
    wsi_service_task(service);
    acceptor->sockets[acceptor->count++] = sock;
}

/* What its connections share, so that none has to be asked. */
static int note_local(struct wsi_accept_socket *sock, const struct wsi_sockets *sockets,
                      void *state)
{
    struct wsi_address address;
    char text[WSI_ADDRESS_TEXT_MAX];
    size_t size;

    if (sockets->local(state, &address, sock->fd) < 0 || wsi_address_is_any(&address))
        return 0;
    size = strlen(wsi_address_text(&address, text)) + 1;
    sock->local = wsi_blob_new(size);
    if (sock->local == NULL)
        return WSOCK_ENOMEM;
    memcpy(sock->local->data, text, size);
    return 0;
}

/* @param first another one of the address, or -1. */
static int open_socket(struct wsi_accept_socket *sock, const struct wsi_address *address,
                       const struct plan *plan, int first,
                       const struct wsi_sockets *sockets, void *state)
{
    if (plan->given >= 0)
        return wsi_listen_given(plan->given, plan->backlog, &sock->fd);
    if (first >= 0)
        return wsi_listen_join(first, plan->backlog, &sock->fd);
    return sockets->listen(state, address, plan->backlog, plan->reuse_port, &sock->fd);
}

/* The sockets of one address. */
static int open_address(struct wsi_acceptor *acceptor, struct wsi_service *service,
                        const struct wsi_address *address, const struct plan *plan,
                        char *why, size_t why_size)
{
    struct wsi_pool *pool = service->owner.pool;
    const unsigned count = plan->reuse_port ? wsi_pool_count(pool) : 1;
    char text[WSI_ADDRESS_TEXT_MAX];
    void *state;
    const struct wsi_sockets *sockets = sockets_of(service, &state);
    int first = -1, r;

    for (unsigned i = 0; i < count; i++) {
        struct wsi_accept_socket *sock = new_socket(plan);

        if (sock == NULL)
            return WSOCK_ENOMEM;
        errno = 0;
        r = open_socket(sock, address, plan, first, sockets, state);
        if (r < 0) {
            snprintf(why, why_size, "%s: %s", wsi_address_text(address, text),
                     errno != 0 ? wsi_errno_text(errno) : wsock_strerror(r));
            wsi_free(sock->path);
            wsi_free(sock);
            return r;
        }
        if (i == 0)
            first = sock->fd;
        add_socket(acceptor, service,
                   plan->reuse_port ? &pool->workers[i] : wsi_pool_pick(pool), sock,
                   plan);
        r = note_local(sock, sockets, state);
        if (r < 0)
            return r;
    }
    return 0;
}

static int write_url(struct wsi_acceptor *acceptor, const struct plan *plan)
{
    const char *scheme = plan->url.secure ? "wss" : "ws";
    const bool is_path = plan->addresses[0].u.any.sa_family == AF_UNIX;
    char text[URL_MAX], address[WSI_ADDRESS_TEXT_MAX];

    if (plan->given >= 0) /* the text of a path begins with "unix:" */
        snprintf(text, sizeof text, "%s%s%s", scheme, is_path ? "+" : "://",
                 wsi_address_text(&plan->addresses[0], address));
    else if (plan->url.is_unix)
        snprintf(text, sizeof text, "%s+unix:%.*s", scheme, (int)plan->url.path.len,
                 plan->url.path.ptr);
    else
        snprintf(text, sizeof text,
                 plan->url.host_is_ipv6 ? "%s://[%.*s]:%u" : "%s://%.*s:%u", scheme,
                 (int)plan->url.host.len, plan->url.host.ptr,
                 (unsigned)wsi_address_port(&plan->addresses[0]));
    acceptor->url = wsi_strdup(text);
    return acceptor->url != NULL ? 0 : WSOCK_ENOMEM;
}

int wsi_acceptor_open(struct wsi_acceptor **out, struct wsi_service *service,
                      const char *text, char *why, size_t why_size)
{
    struct wsi_acceptor *acceptor;
    const struct wsi_sockets *sockets;
    struct plan plan;
    void *state;
    size_t count;
    int r;

    *why = '\0';
    r = plan_from(&plan, service, text, why, why_size);
    if (r < 0)
        return r;
    count = plan.count * (plan.reuse_port ? wsi_pool_count(service->owner.pool) : 1);
    acceptor = wsi_zalloc(sizeof *acceptor + count * sizeof acceptor->sockets[0]);
    if (acceptor == NULL)
        return WSOCK_ENOMEM;
    sockets = sockets_of(service, &state);
    wsi_list_init(&acceptor->node);
    acceptor->secure = plan.url.secure;
    acceptor->asked = wsi_strdup(text);
    if (acceptor->asked == NULL)
        r = WSOCK_ENOMEM;
    for (size_t i = 0; i < plan.count && r == 0; i++) {
        /* All addresses of a name get the port that the first one found free. */
        if (i > 0)
            wsi_address_set_port(&plan.addresses[i],
                                 wsi_address_port(&plan.addresses[0]));
        r = open_address(acceptor, service, &plan.addresses[i], &plan, why, why_size);
        if (r == 0 && i == 0 && !plan.url.is_unix)
            sockets->local(state, &plan.addresses[0], acceptor->sockets[0]->fd);
    }
    if (r == 0)
        r = write_url(acceptor, &plan);
    if (r < 0) {
        wsi_acceptor_close(acceptor);
        return r;
    }
    *out = acceptor;
    return 0;
}
