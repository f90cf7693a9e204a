/* SPDX-License-Identifier: MIT */
/* TLS of servers, clients, and their connections. */
#include "conn/secure.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/moving.h"
#include "conn/opening.h"
#include "conn/remote.h"
#include "conn/service.h"
#include "core/alloc.h"

/* ---- contexts ---- */

void wsi_secure_init(struct wsi_secure *secure)
{
    pthread_mutex_init(&secure->lock, NULL);
    secure->context = NULL;
    secure->is_current = false;
}

void wsi_secure_fini(struct wsi_secure *secure)
{
    wsi_tls_context_unref(secure->context);
    pthread_mutex_destroy(&secure->lock);
}

bool wsi_secure_is_current(struct wsi_secure *secure)
{
    bool is_current;

    pthread_mutex_lock(&secure->lock);
    is_current = secure->is_current;
    pthread_mutex_unlock(&secure->lock);
    return is_current;
}

void wsi_secure_outdate(struct wsi_secure *secure)
{
    pthread_mutex_lock(&secure->lock);
    secure->is_current = false;
    pthread_mutex_unlock(&secure->lock);
}

/* @param context (consumed) */
static void swap(struct wsi_secure *secure, struct wsi_tls_context *context)
{
    struct wsi_tls_context *before;

    pthread_mutex_lock(&secure->lock);
    before = secure->context;
    secure->context = context;
    secure->is_current = true;
    pthread_mutex_unlock(&secure->lock);
    wsi_tls_context_unref(before);
}

/* @return (owned, nullable) */
static struct wsi_tls_context *take(struct wsi_secure *secure)
{
    struct wsi_tls_context *context = NULL;

    pthread_mutex_lock(&secure->lock);
    if (secure->context != NULL)
        context = wsi_tls_context_ref(secure->context);
    pthread_mutex_unlock(&secure->lock);
    return context;
}

/* What both ends have. */
static struct wsi_tls_config config_of(const struct wsi_options *options)
{
    static const unsigned versions[] = {0, 12, 13};

    return (struct wsi_tls_config){
        .certificates = wsi_option_text(options, WSI_OPT_TLS_CERTIFICATE),
        .keys = wsi_option_text(options, WSI_OPT_TLS_KEY),
        .ca = wsi_option_text(options, WSI_OPT_TLS_CA),
        .crl = wsi_option_text(options, WSI_OPT_TLS_CRL),
        .ciphers = wsi_option_text(options, WSI_OPT_TLS_CIPHERS),
        .ciphersuites = wsi_option_text(options, WSI_OPT_TLS_CIPHERSUITES),
        .alpn = wsi_option_text(options, WSI_OPT_TLS_ALPN),
        .min_version = versions[wsi_option(options, WSI_OPT_TLS_MIN_VERSION)],
        .ocsp = "",
        .pins = "",
    };
}

static int load_server(struct wsi_tls_context **out, const struct wsi_options *options,
                       const struct wsi_tls_context *before, struct wsi_log *log,
                       char *why)
{
    const int64_t lifetime = wsi_option(options, WSI_OPT_TLS_SESSION_LIFETIME);
    struct wsi_tls_config config = config_of(options);

    config.log = log;
    config.ocsp = wsi_option_text(options, WSI_OPT_TLS_OCSP);
    config.verify = (enum wsi_tls_verify)wsi_option(options, WSI_OPT_TLS_VERIFY_CLIENT);
    if (!wsi_option_is_off(lifetime))
        config.session_seconds = (unsigned)((lifetime + WSI_SECOND - 1) / WSI_SECOND);
    return wsi_tls_server_new(out, &config, before, why);
}

static int load_client(struct wsi_tls_context **out, const struct wsi_options *options,
                       char *why)
{
    struct wsi_tls_config config = config_of(options);

    config.pins = wsi_option_text(options, WSI_OPT_TLS_PIN);
    config.verify = wsi_option(options, WSI_OPT_TLS_VERIFY) != 0 ? WSI_TLS_VERIFY_REQUIRED
                                                                 : WSI_TLS_VERIFY_NONE;
    return wsi_tls_client_new(out, &config, why);
}

int wsi_secure_load(struct wsi_secure *secure, const struct wsi_options *options,
                    struct wsi_log *log, char *why)
{
    struct wsi_tls_context *before = take(secure), *context;
    int r;

    if (options->scope == WSOCK_SCOPE_CLIENT)
        r = load_client(&context, options, why);
    else
        r = load_server(&context, options, before, log, why);
    if (r == 0)
        swap(secure, context);
    wsi_tls_context_unref(before);
    return r;
}

/* ---- connections ---- */

/* What the option tls_server_name says; where a redirect leads has a name of its own.
 * @return false: nothing */
static bool given_name(struct wsock_conn *conn, char name[WSI_HOST_FIELD_MAX])
{
    struct wsi_remote *remote = wsi_remote_of(conn->owner);

    name[0] = '\0';
    if (!wsi_moving_is_home(conn))
        return false;
    pthread_mutex_lock(&remote->lock);
    snprintf(name, WSI_HOST_FIELD_MAX, "%s",
             wsi_option_text(&remote->profile.options, WSI_OPT_TLS_SERVER_NAME));
    pthread_mutex_unlock(&remote->lock);
    return name[0] != '\0';
}

/* A client's peer is named in its URL; who is behind a Unix socket is this machine. */
static int make_client(struct wsi_filter **out, struct wsi_tls_context *context,
                       struct wsock_conn *conn)
{
    const struct wsi_url *url = &wsi_destination_of(conn)->url;
    char host[WSI_HOST_FIELD_MAX];

    if (!given_name(conn, host))
        snprintf(host, sizeof host, "%.*s", url->is_unix ? 9 : (int)url->host.len,
                 url->is_unix ? "localhost" : url->host.ptr);
    return wsi_tls_connect(out, context, host, wsi_moving_is_home(conn));
}

/* A redirect led from ws to wss, or an option was set after the client's own last look at
 * the files. @return (owned, nullable) */
static struct wsi_tls_context *load_late(struct wsock_conn *conn)
{
    struct wsi_remote *remote = wsi_remote_of(conn->owner);
    char why[WSI_TLS_WHY_SIZE];
    int r;

    pthread_mutex_lock(&remote->lock);
    r = wsi_secure_load(&remote->secure, &conn->profile->options, NULL, why);
    pthread_mutex_unlock(&remote->lock);
    if (r == 0)
        return take(&remote->secure);
    if (r != WSOCK_ENOMEM)
        wsi_conn_note_end(conn, WSOCK_CAUSE_TLS, WSOCK_BY_US, 0, "%s", why);
    return NULL;
}

static int make_filter(struct wsock_conn *conn, struct wsi_filter **out)
{
    const bool is_server = wsi_conn_role(conn) == WSI_SERVER;
    struct wsi_secure *secure = is_server ? &wsi_service_of(conn->owner)->secure
                                          : &wsi_remote_of(conn->owner)->secure;
    struct wsi_tls_context *context;
    int r = WSOCK_ENOMEM;

    context = is_server || wsi_secure_is_current(secure) ? take(secure) : load_late(conn);
    if (context == NULL)
        return r;
    if (is_server)
        r = wsi_tls_accept(out, context);
    else
        r = make_client(out, context, conn);
    wsi_tls_context_unref(context);
    return r;
}

/* End it before it was open; the client's side tells more. */
static void give_up(struct wsock_conn *conn, enum wsi_close_mode mode, int cause,
                    int began, const char *why)
{
    char peer[WSI_ADDRESS_TEXT_MAX];

    wsi_address_text(&conn->opening->peer, peer);
    wsi_conn_note_end(conn, cause, began, 0, "TLS with %s: %s", peer, why);
    wsi_conn_end(conn, mode, cause, began, NULL);
}

void wsi_conn_end_handshake(struct wsock_conn *conn)
{
    if (wsi_list_is_empty(&conn->opening->handshaking))
        return;
    wsi_list_remove(&conn->opening->handshaking);
    conn->worker->handshake_count--;
}

/* One more handshake of TLS on its worker, which may be one too many: who began first and
 * is not done yet has had his time. */
static void count_handshake(struct wsock_conn *conn)
{
    struct wsi_worker *worker = conn->worker;
    const int64_t max = wsi_option(wsi_service_options(conn->owner),
                                   WSI_OPT_MAX_TLS_HANDSHAKES);
    struct wsi_opening *oldest;

    conn->opening->conn = conn;
    wsi_list_append(&worker->handshakes, &conn->opening->handshaking);
    if (++worker->handshake_count <= max)
        return;
    oldest = WSI_CONTAINER_OF(worker->handshakes.next, struct wsi_opening, handshaking);
    wsi_conn_end_handshake(oldest->conn);
    wsi_conn_end(oldest->conn, WSI_CLOSE_RESET, WSOCK_CAUSE_TLS_TIMEOUT, WSOCK_BY_US,
                 "cut off: max_tls_handshakes is reached");
}

void wsi_conn_start_tls(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    struct wsi_buf early = opening->in;
    struct wsi_filter *filter;
    int r = make_filter(conn, &filter);

    opening->phase = WSI_OPENING_TLS;
    wsi_buf_init(&opening->in);
    if (wsi_conn_role(conn) == WSI_SERVER)
        count_handshake(conn);
    if (r == 0)
        r = wsi_stream_start_filter(&conn->stream, filter, early.data, early.len);
    if (r < 0)
        give_up(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                wsock_strerror(r));
    wsi_buf_fini(&early);
}

int wsi_conn_note_tls(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_tls_facts *facts;

    if (extra != NULL && atomic_load(&extra->tls) != NULL) /* somebody may read them */
        return 0;
    facts = wsi_tls_facts_new(conn->stream.filter);
    if (extra == NULL || facts == NULL) {
        wsi_free(facts);
        return WSOCK_ENOMEM;
    }
    atomic_store_explicit(&extra->tls, facts, memory_order_release);
    return 0;
}

void wsi_conn_secured(struct wsock_conn *conn)
{
    /* A client may be led elsewhere yet; what is known of its TLS is noted when it opens.
     */
    if (wsi_conn_role(conn) == WSI_SERVER && wsi_conn_note_tls(conn) < 0)
        give_up(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                wsock_cause_text(WSOCK_CAUSE_NO_MEMORY));
    else
        wsi_opening_secured(conn);
}

/* A client may look into it; without memory there is less to see. */
static void note_failed(struct wsock_conn *conn)
{
    if (wsi_conn_role(conn) == WSI_CLIENT)
        (void)wsi_conn_note_tls(conn);
}

void wsi_conn_tls_failed(struct wsock_conn *conn)
{
    const struct wsi_tls_failure failure = wsi_tls_failure(conn->stream.filter);
    const bool is_ours = failure.error == WSOCK_TLS_NO_MEMORY;
    const int began = is_ours ? WSOCK_BY_US : WSOCK_BY_PEER;
    const int theirs = wsi_tls_is_certificate_error(failure.error)
                           ? WSOCK_CAUSE_CERTIFICATE
                           : WSOCK_CAUSE_TLS;
    const int cause = is_ours ? WSOCK_CAUSE_NO_MEMORY : theirs;
    /* A server waits for the peer to take the alert, lest a reset overtakes it. */
    const enum wsi_close_mode mode = wsi_conn_role(conn) == WSI_SERVER ? WSI_CLOSE_LINGER
                                                                       : WSI_CLOSE_NOW;

    if (!conn->ended) {
        conn->tls_error = (uint8_t)failure.error;
        conn->tls_alert = (uint8_t)failure.alert;
    }
    if (conn->opening != NULL) {
        note_failed(conn);
        give_up(conn, mode, cause, began, failure.why);
    } else {
        wsi_conn_end(conn, mode, cause, began, "TLS: %s", failure.why);
    }
}

void wsi_conn_tls_eof(struct wsock_conn *conn)
{
    conn->tls_error = WSOCK_TLS_TRUNCATED;
    note_failed(conn);
    give_up(conn, WSI_CLOSE_NOW, WSOCK_CAUSE_TLS, WSOCK_BY_PEER,
            "the peer ended the connection within the handshake");
}

const char *wsock_conn_tls(const wsock_conn *conn, int fact)
{
    const struct wsi_extra *extra = conn != NULL ? wsi_extra_of(conn) : NULL;
    const struct wsi_tls_facts *facts = extra != NULL
                                            ? atomic_load_explicit(&extra->tls,
                                                                   memory_order_acquire)
                                            : NULL;

    return facts != NULL && fact >= 0 && fact < WSI_TLS_FACTS ? facts->text[fact] : NULL;
}

const char *wsock_request_tls(const wsock_request *request, int fact)
{
    return request != NULL ? wsock_conn_tls(wsi_conn_of_request(request), fact) : NULL;
}
