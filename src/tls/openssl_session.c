/* SPDX-License-Identifier: MIT */
/*
 * Resumption. A server keeps no sessions: it seals them into tickets (RFC 5077, RFC 8446
 * section 4.6.1) with keys that it makes anew when the lifetime of sessions has passed,
 * and keeps for one lifetime more to open what it sealed. A client keeps the last few
 * sessions of its server and uses each of TLS 1.3 once (RFC 8446 appendix C.4).
 */
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "core/alloc.h"
#include "tls/openssl.h"

/* ---- tickets ---- */

enum { TICKET_KEYS = 2, TICKET_NAME = 16, TICKET_SECRET = 32 };

struct ticket_key {
    uint8_t name[TICKET_NAME];
    uint8_t cipher[TICKET_SECRET], mac[TICKET_SECRET];
    time_t made; /* 0: there is none */
};

struct wsi_tickets {
    struct wsi_ref ref;
    unsigned seconds;
    EVP_CIPHER *cipher;
    pthread_mutex_t lock;
    struct ticket_key key[TICKET_KEYS]; /* the newest first */
};

static time_t seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec + 1;
}

struct wsi_tickets *wsi_tickets_new(unsigned seconds)
{
    struct wsi_tickets *tickets = wsi_zalloc(sizeof *tickets);

    if (tickets == NULL)
        return NULL;
    tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (tickets->cipher == NULL) {
        wsi_free(tickets);
        return NULL;
    }
    wsi_ref_init(&tickets->ref);
    pthread_mutex_init(&tickets->lock, NULL);
    tickets->seconds = seconds;
    return tickets;
}

struct wsi_tickets *wsi_tickets_ref(struct wsi_tickets *tickets)
{
    wsi_ref_take(&tickets->ref);
    return tickets;
}

void wsi_tickets_unref(struct wsi_tickets *tickets)
{
    if (tickets == NULL || !wsi_ref_drop(&tickets->ref))
        return;
    OPENSSL_cleanse(tickets->key, sizeof tickets->key);
    EVP_CIPHER_free(tickets->cipher);
    pthread_mutex_destroy(&tickets->lock);
    wsi_free(tickets);
}

unsigned wsi_tickets_seconds(const struct wsi_tickets *tickets)
{
    return tickets->seconds;
}

/* With the lock held: the newest key is young enough to seal with. */
static bool rotate(struct wsi_tickets *tickets)
{
    const time_t now = seconds_now();
    struct ticket_key fresh = {.made = now};

    if (tickets->key[0].made != 0 &&
        now - tickets->key[0].made < (time_t)tickets->seconds)
        return true;
    if (RAND_bytes(fresh.name, sizeof fresh.name) <= 0 ||
        RAND_priv_bytes(fresh.cipher, sizeof fresh.cipher) <= 0 ||
        RAND_priv_bytes(fresh.mac, sizeof fresh.mac) <= 0)
        return false;
    tickets->key[1] = tickets->key[0];
    tickets->key[0] = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return true;
}

/* @return whether `key` has one to seal with. */
static bool sealing_key(struct wsi_tickets *tickets, struct ticket_key *key)
{
    bool found;

    pthread_mutex_lock(&tickets->lock);
    found = rotate(tickets);
    *key = tickets->key[0];
    pthread_mutex_unlock(&tickets->lock);
    return found;
}

static bool opening_key(struct wsi_tickets *tickets, struct ticket_key *key,
                        const uint8_t name[TICKET_NAME])
{
    const time_t now = seconds_now();
    bool found = false;

    pthread_mutex_lock(&tickets->lock);
    for (int i = 0; i < TICKET_KEYS && !found; i++) {
        *key = tickets->key[i];
        found = key->made != 0 && memcmp(key->name, name, TICKET_NAME) == 0 &&
                now - key->made < 2 * (time_t)tickets->seconds;
    }
    pthread_mutex_unlock(&tickets->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, TICKET_SECRET),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* @return as SSL_CTX_set_tlsext_ticket_key_evp_cb() has it: -1 fails the handshake, 0
 * goes on without a ticket, 2 gives another one: in TLS 1.3 each is used once. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    struct wsi_tls *tls = SSL_get_app_data(ssl);
    struct wsi_tickets *tickets = tls->context->tickets;
    struct ticket_key key;
    bool ready;

    if (seal) {
        if (!sealing_key(tickets, &key) ||
            RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets->cipher)) <= 0)
            return -1;
        memcpy(name, key.name, TICKET_NAME);
        ready = EVP_EncryptInit_ex2(cipher, tickets->cipher, key.cipher, iv, NULL) == 1;
    } else {
        if (!opening_key(tickets, &key, name))
            return 0;
        ready = EVP_DecryptInit_ex2(cipher, tickets->cipher, key.cipher, iv, NULL) == 1;
    }
    ready = ready && set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof key);
    if (!ready)
        return -1;
    return !seal && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

/* A session lives on with each resumption; the peer's certificate does not. */
static bool is_outdated(const SSL_SESSION *session)
{
    const X509 *peer = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);

    return peer != NULL && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0;
}

static SSL_TICKET_RETURN on_opened(SSL *ssl, SSL_SESSION *session,
                                   const unsigned char *name, size_t name_len,
                                   SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl, (void)name, (void)name_len, (void)arg;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        is_outdated(session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE
                                        : SSL_TICKET_RETURN_USE_RENEW;
}

void wsi_tickets_install(struct wsi_tls_context *context)
{
    SSL_CTX *ssl_ctx = context->ssl_ctx;

    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    if (context->tickets == NULL) {
        SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ssl_ctx, 0);
        return;
    }
    SSL_CTX_set_timeout(ssl_ctx, (long)wsi_tickets_seconds(context->tickets));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_ctx, on_ticket);
    SSL_CTX_set_session_ticket_cb(ssl_ctx, NULL, on_opened, NULL);
    /* Nobody opens two WebSockets from one handshake. */
    SSL_CTX_set_num_tickets(ssl_ctx, 1);
}

/* ---- a client's sessions ---- */

enum { SESSIONS_MAX = sizeof((struct wsi_sessions *)0)->session / sizeof(SSL_SESSION *) };

void wsi_sessions_init(struct wsi_sessions *sessions)
{
    pthread_mutex_init(&sessions->lock, NULL);
}

void wsi_sessions_fini(struct wsi_sessions *sessions)
{
    for (unsigned i = 0; i < sessions->count; i++)
        SSL_SESSION_free(sessions->session[i]);
    pthread_mutex_destroy(&sessions->lock);
}

/* @return 1: the session is kept. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct wsi_tls *tls = SSL_get_app_data(ssl);
    struct wsi_sessions *sessions = &tls->context->sessions;
    SSL_SESSION *oldest = NULL;

    if (!tls->resumes)
        return 0;
    pthread_mutex_lock(&sessions->lock);
    if (sessions->count == SESSIONS_MAX) {
        oldest = sessions->session[0];
        sessions->count--;
        memmove(sessions->session, sessions->session + 1,
                sessions->count * sizeof sessions->session[0]);
    }
    sessions->session[sessions->count++] = session;
    pthread_mutex_unlock(&sessions->lock);
    SSL_SESSION_free(oldest);
    return 1;
}

void wsi_sessions_install(struct wsi_tls_context *context)
{
    SSL_CTX_set_session_cache_mode(context->ssl_ctx,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl_ctx, on_session);
}

void wsi_sessions_resume(struct wsi_tls_context *context, SSL *ssl)
{
    struct wsi_sessions *sessions = &context->sessions;
    SSL_SESSION *session = NULL;

    pthread_mutex_lock(&sessions->lock);
    if (sessions->count > 0) {
        session = sessions->session[sessions->count - 1];
        if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
            sessions->count--;
        else
            SSL_SESSION_up_ref(session);
    }
    pthread_mutex_unlock(&sessions->lock);
    if (session == NULL)
        return;
    if (!is_outdated(session) && !SSL_set_session(ssl, session))
        ERR_clear_error();
    SSL_SESSION_free(session);
}
