/* SPDX-License-Identifier: MIT */
/*
 * What all connections of a server or a client share. OpenSSL's own ciphers and the
 * policy of the system stay as they are unless an option says otherwise, but for these:
 * TLS 1.2 at least, no renegotiation, no compression.
 */
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "tls/openssl.h"

/* What a client's certificates may have: OpenSSL makes room for what is announced. */
enum { CLIENT_CHAIN_MAX = 32 * 1024 };

/* Worker threads may still run when the process exits: what the last handler at exit
 * takes away must not be OpenSSL. */
static void init_library(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void free_context(struct wsi_tls_context *context)
{
    SSL_CTX_free(context->ssl_ctx);
    ERR_clear_error(); /* it looks for memory, and says when there is none */
    wsi_identities_free(context->identities);
    wsi_tickets_unref(context->tickets);
    wsi_sessions_fini(&context->sessions);
    wsi_free(context);
}

struct wsi_tls_context *wsi_tls_context_ref(struct wsi_tls_context *context)
{
    wsi_ref_take(&context->ref);
    return context;
}

void wsi_tls_context_unref(struct wsi_tls_context *context)
{
    if (context != NULL && wsi_ref_drop(&context->ref))
        free_context(context);
}

/* ---- making ---- */

static int refused(char *why, const char *option, const char *value)
{
    snprintf(why, WSI_TLS_WHY_SIZE, "%s: \"%.200s\" is not accepted", option, value);
    return wsi_openssl_explain(why);
}

static int set_versions(SSL_CTX *ssl_ctx, unsigned min_version)
{
    const long system = SSL_CTX_get_min_proto_version(ssl_ctx);
    int min = min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;

    if (min_version == 0 && system > min)
        min = (int)system;
    return SSL_CTX_set_min_proto_version(ssl_ctx, min) == 1 ? 0 : WSOCK_ETLS;
}

static int set_ciphers(SSL_CTX *ssl_ctx, const struct wsi_tls_config *config, char *why)
{
    if (*config->ciphers != '\0' && !SSL_CTX_set_cipher_list(ssl_ctx, config->ciphers))
        return refused(why, "tls_ciphers", config->ciphers);
    if (*config->ciphersuites != '\0' &&
        !SSL_CTX_set_ciphersuites(ssl_ctx, config->ciphersuites))
        return refused(why, "tls_ciphersuites", config->ciphersuites);
    return 0;
}

/* Each name behind its length; it takes no more bytes than the list and its first length.
 * @return 0; WSOCK_ETLS for a name that ALPN cannot say. */
static int set_alpn(struct wsi_tls_context *context, const char *names, char *why)
{
    const char *name = *names != '\0' ? names : "http/1.1";
    size_t len;

    if (strcmp(names, "none") == 0)
        return 0;
    for (;; name += len) {
        name += strspn(name, ", ");
        len = strcspn(name, ", ");
        if (len == 0)
            return 0;
        if (len > 255 || len + 1 > WSI_TLS_ALPN_MAX - context->alpn_len) {
            snprintf(why, WSI_TLS_WHY_SIZE, "tls_alpn: a name has at most 255 bytes");
            return WSOCK_ETLS;
        }
        context->alpn[context->alpn_len++] = (unsigned char)len;
        memcpy(context->alpn + context->alpn_len, name, len);
        context->alpn_len += (unsigned)len;
    }
}

/* RFC 7301 section 3.2: who offers other protocols only is refused. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    const struct wsi_tls_context *context = arg;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, context->alpn, context->alpn_len, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int context_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       bool is_server, char *why)
{
    struct wsi_tls_context *context = wsi_zalloc(sizeof *context);
    int r;

    if (context == NULL)
        return WSOCK_ENOMEM;
    pthread_once(&library_once, init_library);
    wsi_ref_init(&context->ref);
    wsi_sessions_init(&context->sessions);
    context->is_server = is_server;
    context->ssl_ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    *out = context;
    if (context->ssl_ctx == NULL)
        return WSOCK_ENOMEM;
    SSL_CTX_set_mode(context->ssl_ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context->ssl_ctx,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    r = set_versions(context->ssl_ctx, config->min_version);
    if (r == 0)
        r = set_ciphers(context->ssl_ctx, config, why);
    if (r == 0)
        r = set_alpn(context, config->alpn, why);
    if (r == 0)
        r = wsi_identities_new(&context->identities, config, why);
    if (r == 0)
        r = wsi_identities_install(context->identities, context->ssl_ctx, why);
    if (r == 0)
        r = wsi_verify_install(context, config, why);
    return r;
}

/* @param context (consumed on failure) */
static int finish(struct wsi_tls_context **out, struct wsi_tls_context *context, int r,
                  char *why)
{
    if (r == 0)
        *out = context;
    else
        wsi_tls_context_unref(context);
    if (r < 0 && (*why == '\0' || r == WSOCK_ENOMEM))
        snprintf(why, WSI_TLS_WHY_SIZE, "%s", wsock_strerror(r));
    /* OpenSSL may do without what it had no memory for, and says so nevertheless. */
    ERR_clear_error();
    return r;
}

/* ---- servers ---- */

/* An authority or a list of revoked certificates. */
static bool digest_object(EVP_MD_CTX *digest, const X509_OBJECT *object)
{
    const X509 *certificate = X509_OBJECT_get0_X509(object);
    const X509_CRL *crl = X509_OBJECT_get0_X509_CRL((X509_OBJECT *)object);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (certificate != NULL && X509_digest(certificate, EVP_sha256(), hash, &len) != 1)
        return false;
    if (crl != NULL && X509_CRL_digest(crl, EVP_sha256(), hash, &len) != 1)
        return false;
    return EVP_DigestUpdate(digest, hash, len) == 1;
}

/* Sessions may be resumed only by servers that would have accepted the same client: what
 * asks for certificates and checks them is the name of the sessions' context. It is made
 * of what was read, as files change and keep their names. */
static int set_session_context(struct wsi_tls_context *context,
                               const struct wsi_tls_config *config)
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(
        SSL_CTX_get_cert_store(context->ssl_ctx));
    unsigned char id[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    const int verify = (int)config->verify;
    unsigned len = 0;
    bool fine = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(digest, &verify, sizeof verify) == 1;

    for (int i = 0; i < sk_X509_OBJECT_num(objects) && fine; i++)
        fine = digest_object(digest, sk_X509_OBJECT_value(objects, i));
    fine = fine && EVP_DigestFinal_ex(digest, id, &len) == 1 &&
           SSL_CTX_set_session_id_context(context->ssl_ctx, id, len) == 1;
    EVP_MD_CTX_free(digest);
    return fine ? 0 : WSOCK_ENOMEM;
}

static int set_tickets(struct wsi_tls_context *context,
                       const struct wsi_tls_config *config,
                       const struct wsi_tls_context *before)
{
    const unsigned seconds = config->session_seconds;

    if (seconds > 0) {
        if (before != NULL && before->tickets != NULL &&
            wsi_tickets_seconds(before->tickets) == seconds)
            context->tickets = wsi_tickets_ref(before->tickets);
        else
            context->tickets = wsi_tickets_new(seconds);
        if (context->tickets == NULL)
            return WSOCK_ENOMEM;
    }
    wsi_tickets_install(context);
    return set_session_context(context, config);
}

int wsi_tls_server_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       const struct wsi_tls_context *before, char *why)
{
    struct wsi_tls_context *context = NULL;
    int r;

    *why = '\0';
    if (*config->certificates == '\0') {
        snprintf(why, WSI_TLS_WHY_SIZE,
                 "wss needs TLS to be set up: tls_certificate and tls_key");
        return WSOCK_ETLS;
    }
    r = context_new(&context, config, true, why);
    if (r == 0) {
        if (context->alpn_len > 0)
            SSL_CTX_set_alpn_select_cb(context->ssl_ctx, on_alpn, context);
        SSL_CTX_set_max_cert_list(context->ssl_ctx, CLIENT_CHAIN_MAX);
        r = set_tickets(context, config, before);
    }
    if (r == 0)
        wsi_identities_warn(context->identities, config);
    return finish(out, context, r, why);
}

int wsi_tls_accept(struct wsi_filter **out, struct wsi_tls_context *context)
{
    struct wsi_tls *tls;
    const int r = wsi_tls_new(&tls, context);

    if (r < 0)
        return r;
    SSL_set_accept_state(tls->ssl);
    *out = &tls->filter;
    return 0;
}

/* ---- clients ---- */

int wsi_tls_client_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       char *why)
{
    struct wsi_tls_context *context = NULL;
    int r;

    *why = '\0';
    r = context_new(&context, config, false, why);
    if (r == 0)
        r = wsi_verify_pins(context, config->pins, why);
    /* This one answers 0 for success. */
    if (r == 0 && context->alpn_len > 0 &&
        SSL_CTX_set_alpn_protos(context->ssl_ctx, context->alpn, context->alpn_len) != 0)
        r = WSOCK_ENOMEM;
    if (r == 0)
        wsi_sessions_install(context);
    return finish(out, context, r, why);
}

static bool is_address(const char *host)
{
    struct in6_addr any;

    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

/* Whose certificate it must be, RFC 6125; only names go into SNI (RFC 6066 section 3),
 * and neither has the dot at the end that a resolver knows. */
static bool set_host(struct wsi_tls *tls, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    size_t len = strlen(host);
    char name[TLSEXT_MAXLEN_host_name + 1];

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    if (len > 1 && host[len - 1] == '.')
        len--;
    if (len >= sizeof name)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    return SSL_set_tlsext_host_name(tls->ssl, name) == 1 &&
           X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

/* Who we are is for the server that was asked for. */
static void forget_identity(SSL *ssl)
{
    SSL_certs_clear(ssl);
    SSL_set_cert_cb(ssl, NULL, NULL);
}

int wsi_tls_connect(struct wsi_filter **out, struct wsi_tls_context *context,
                    const char *host, bool is_home)
{
    struct wsi_tls *tls;
    const int r = wsi_tls_new(&tls, context);

    if (r < 0)
        return r;
    if (!set_host(tls, host)) {
        ERR_clear_error();
        tls->filter.ops->free(&tls->filter);
        return WSOCK_ENOMEM;
    }
    SSL_set_connect_state(tls->ssl);
    tls->resumes = is_home;
    if (is_home)
        wsi_sessions_resume(context, tls->ssl);
    else
        forget_identity(tls->ssl);
    *out = &tls->filter;
    return 0;
}
