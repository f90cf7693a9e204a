/* SPDX-License-Identifier: MIT */
/*
 * What the files over OpenSSL share.
 *
 *   openssl_context.c    SSL_CTX from options: versions, ciphers, authorities, ALPN
 *   openssl_identity.c   certificates and keys; which one for which name
 *   openssl_staple.c     what an authority says of our certificate, for the client
 *   openssl_session.c    tickets of a server, and sessions that a client resumes
 *   openssl_verify.c     the peer's certificate: what is wrong with it, and pinned keys
 *   openssl_engine.c     one connection: records in, records out
 *   openssl_facts.c      what is told of a connection
 *   openssl_signature.c  signatures of tokens: no TLS, and by signature.h
 *   openssl_error.c      what OpenSSL says, as errors of ours
 */
#ifndef WSI_TLS_OPENSSL_H
#define WSI_TLS_OPENSSL_H

#include <pthread.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/ref.h"
#include "tls/hello.h"
#include "tls/tls.h"

enum { WSI_TLS_PINS_MAX = 16, WSI_TLS_PIN_SIZE = 32, WSI_TLS_DATE_SIZE = 80 };
enum { WSI_TLS_ALPN_MAX = 1024 }; /* as many as a list of the option has */

struct wsi_identities;
struct wsi_tickets;

/** Sessions of one server that a client may resume, the newest last. */
struct wsi_sessions {
    pthread_mutex_t lock;
    unsigned count;
    SSL_SESSION *session[4];
};

struct wsi_tls_context {
    struct wsi_ref ref;
    SSL_CTX *ssl_ctx;
    bool is_server;
    struct wsi_identities *identities; /* (owned, nullable) */
    struct wsi_tickets *tickets;       /* (owned, nullable) server: a reference */
    struct wsi_sessions sessions;      /* client */
    unsigned alpn_len;                 /* 0: none */
    unsigned char alpn[WSI_TLS_ALPN_MAX]; /* RFC 7301 section 3.1, without its length */
    unsigned pin_count;
    uint8_t pin[WSI_TLS_PINS_MAX][WSI_TLS_PIN_SIZE];
};

/** A connection's TLS. */
struct wsi_tls {
    struct wsi_filter filter; /* first */
    struct wsi_tls_context *context;
    SSL *ssl;
    const uint8_t *in; /* what is being decoded */
    size_t in_len;
    unsigned reads;              /* of it, since data came out of them */
    struct wsi_tls_error *error; /* (owned, nullable) why it failed */
    bool resumes;                /* client: sessions are kept for the next connection */
    X509 *faulty;   /* (owned, nullable) the certificate that verification failed for */
    bool no_memory; /* for what was to be sent */
    struct wsi_hello hello; /* server */
};

struct wsi_tls_error {
    int error, alert;
    char why[400];
};

static inline struct wsi_tls *wsi_tls_of(const struct wsi_filter *filter)
{
    return (struct wsi_tls *)(void *)(uintptr_t)filter;
}

/* ---- openssl_error.c ---- */

/** Append what OpenSSL says went wrong, and forget it: ": no start line". @param why
 *  WSI_TLS_WHY_SIZE bytes. @return WSOCK_ENOMEM if that was it; else WSOCK_ETLS. */
int wsi_openssl_explain(char *why);
/** Say why a file was of no use, and forget OpenSSL's errors. @param lacks when it could
 * be read, but what was looked for is not in it: "has no private key".
 *  @return as wsi_openssl_explain(). */
int wsi_openssl_explain_file(char *why, const char *option, const char *path,
                             const char *lacks);
/** What an alert of the peer means, RFC 8446 section 6. */
const char *wsi_openssl_alert_text(int alert);
/** WSOCK_TLS_* for a failed handshake or record, from the error that it failed with and
 *  whether any says that memory was wanting; all are forgotten. @param alert (out) */
int wsi_openssl_classify(unsigned long code, int *alert);
/** WSOCK_TLS_* for an X509_V_ERR_*. */
int wsi_openssl_certificate_error(long verify_result);
/** Note the failure; the first one stays. */
void wsi_tls_note(struct wsi_tls *tls, int error, int alert, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- openssl_identity.c ---- */

/** Read what config names and give it to the context. @return as wsi_tls_server_new(). */
int wsi_identities_new(struct wsi_identities **out, const struct wsi_tls_config *config,
                       char *why);
/** Tell config->log what clients will turn away from. It is no error: a file may be
 * replaced, and others of its list hold. */
void wsi_identities_warn(const struct wsi_identities *identities,
                         const struct wsi_tls_config *config);
void wsi_identities_free(struct wsi_identities *identities);
/** @return 0; WSOCK_ETLS. */
int wsi_identities_install(struct wsi_identities *identities, SSL_CTX *ssl_ctx,
                           char *why);

/* ---- openssl_staple.c ---- */

/* All zero: there is none. */
struct wsi_staple {
    uint8_t *der; /* (owned, nullable) by OpenSSL's allocator */
    int len;
    int64_t until;     /* seconds of CLOCK_REALTIME: what it says holds no longer */
    const char *stale; /* (nullable) why it was not taken, though it is right */
};

/**
 * Read and check the answer about a certificate.
 *
 * @param why (out) on failure. If only its time is over or has not come, `stale` says so,
 *            and there is none.
 * @return 0; WSOCK_ETLS; WSOCK_ENOMEM.
 */
int wsi_staple_read(struct wsi_staple *out, const char *path, X509 *certificate,
                    STACK_OF(X509) * chain, char *why);
void wsi_staple_fini(struct wsi_staple *staple);
bool wsi_staple_is_there(const struct wsi_staple *staple);
/** Hand it to a handshake. @return false when there is none, or its time is over. */
bool wsi_staple_give(const struct wsi_staple *staple, SSL *ssl);

/* ---- openssl_session.c ---- */

/** @return (owned, nullable) keys for tickets that hold for so long. */
struct wsi_tickets *wsi_tickets_new(unsigned seconds);
struct wsi_tickets *wsi_tickets_ref(struct wsi_tickets *tickets);
void wsi_tickets_unref(struct wsi_tickets *tickets);
unsigned wsi_tickets_seconds(const struct wsi_tickets *tickets);
void wsi_tickets_install(struct wsi_tls_context *context);

void wsi_sessions_init(struct wsi_sessions *sessions);
void wsi_sessions_fini(struct wsi_sessions *sessions);
/** Have the context keep sessions that servers offer. */
void wsi_sessions_install(struct wsi_tls_context *context);
/** Resume one, if there is one. */
void wsi_sessions_resume(struct wsi_tls_context *context, SSL *ssl);

/* ---- openssl_verify.c ---- */

/** Authorities, revocations, and whether to ask. @return 0; WSOCK_ETLS. */
int wsi_verify_install(struct wsi_tls_context *context,
                       const struct wsi_tls_config *config, char *why);
/** @return 0; WSOCK_ETLS for what is no pin. */
int wsi_verify_pins(struct wsi_tls_context *context, const char *pins, char *why);
/** True when there are no pins, or the peer's key is among them. */
bool wsi_verify_pinned(const struct wsi_tls_context *context, const SSL *ssl);
/** SHA-256 of the public key of a certificate (RFC 7469 section 2.4). */
bool wsi_verify_key_hash(const X509 *certificate, uint8_t hash[WSI_TLS_PIN_SIZE]);
/** Note what is wrong with the peer's certificate. */
void wsi_verify_note(struct wsi_tls *tls, long result);

/* ---- openssl_facts.c ---- */

/** A subject or an issuer, RFC 2253. */
void wsi_facts_print_name(BIO *out, const X509_NAME *name);
/** @param out (out) "2020-01-31 23:59:59 UTC"; empty for what is no time. */
void wsi_facts_write_date(char out[WSI_TLS_DATE_SIZE], const ASN1_TIME *time);
/** The alternative names of a certificate, as WSOCK_TLS_FACT_NAMES. */
void wsi_facts_print_names(BIO *out, const GENERAL_NAMES *names);

/* ---- openssl_engine.c ---- */

/** @return 0; WSOCK_ENOMEM. */
int wsi_tls_new(struct wsi_tls **out, struct wsi_tls_context *context);

#endif
