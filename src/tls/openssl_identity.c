/* SPDX-License-Identifier: MIT */
/*
 * Certificates with their keys. The names in a certificate say for which server names
 * (SNI, RFC 6066 section 3) it serves; of those that fit, and of each kind of key, the
 * first one with the exact name goes before the first with a wildcard (RFC 6125
 * section 6.4.3). Who asks for another name, or for none, gets what the first name of the
 * first certificate would get.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "tls/openssl.h"

enum { PATH_SIZE = 1024, IDENTITIES_MAX = 256, KINDS_MAX = 8 };

struct identity {
    X509 *certificate;
    STACK_OF(X509) * chain; /* what follows it, in order */
    EVP_PKEY *key;
    struct wsi_staple staple;
    unsigned name_count;
    char **names;
};

struct wsi_identities {
    unsigned count;
    struct identity of[IDENTITIES_MAX];
};

/* ---- lists of files ---- */

/* The next entry of a list. @return false at its end. @param path (out) PATH_SIZE bytes;
 * empty for one that is too long, which is no file's name. */
static bool next_path(const char **list, char *path)
{
    const char *at = *list;
    size_t len;

    if (at == NULL || *at == '\0')
        return false;
    at += strspn(at, " ");
    len = strcspn(at, ",");
    *list = at[len] == ',' ? at + len + 1 : at + len;
    while (len > 0 && at[len - 1] == ' ')
        len--;
    if (len >= PATH_SIZE)
        len = 0;
    memcpy(path, at, len);
    path[len] = '\0';
    return true;
}

/* ---- certificates ---- */

static bool add_name(struct identity *identity, const char *name, size_t len)
{
    char **names = wsi_realloc(identity->names,
                               (identity->name_count + 1) * sizeof *names);

    if (names == NULL)
        return false;
    identity->names = names;
    names[identity->name_count] = wsi_strndup(name, len);
    return names[identity->name_count] != NULL && ++identity->name_count > 0;
}

/* The DNS names of a certificate. @return false without memory. */
static bool read_names(struct identity *identity)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(identity->certificate, NID_subject_alt_name,
                                            NULL, NULL);
    bool fine = true;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && fine; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS)
            fine = add_name(identity,
                            (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                            (size_t)ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    return fine;
}

/* Move the issuer of `below` from one list to the end of the other. */
static bool move_issuer(X509 *below, STACK_OF(X509) * from, STACK_OF(X509) * to)
{
    for (int i = 0; i < sk_X509_num(from); i++)
        if (X509_check_issued(sk_X509_value(from, i), below) == X509_V_OK)
            return sk_X509_push(to, sk_X509_delete(from, i)) > 0;
    return false;
}

/* Files have their chain in any order; RFC 5246 7.4.2 wants each to certify the one
 * before. What belongs to none stays behind. @return false without memory. */
static bool order_chain(struct identity *identity)
{
    STACK_OF(X509) *ordered = sk_X509_new_reserve(NULL, sk_X509_num(identity->chain));
    X509 *last = identity->certificate;

    if (ordered == NULL)
        return false;
    /* There is room for all, so that no push fails. */
    while (move_issuer(last, identity->chain, ordered))
        last = sk_X509_value(ordered, sk_X509_num(ordered) - 1);
    while (sk_X509_num(identity->chain) > 0)
        sk_X509_push(ordered, sk_X509_shift(identity->chain));
    sk_X509_free(identity->chain);
    identity->chain = ordered;
    return true;
}

/* What follows the first certificate. @return false without memory. */
static bool read_chain(struct identity *identity, BIO *file)
{
    X509 *next;

    while ((next = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(identity->chain, next) <= 0) {
            X509_free(next);
            return false;
        }
    }
    return true;
}

static int read_certificates(struct identity *identity, const char *path, char *why)
{
    BIO *file = BIO_new_file(path, "r");
    bool fine;

    if (file != NULL)
        identity->certificate = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL);
    identity->chain = sk_X509_new_null();
    if (identity->certificate == NULL || identity->chain == NULL) {
        BIO_free(file);
        return wsi_openssl_explain_file(why, "tls_certificate", path,
                                        "has no certificate in PEM");
    }
    fine = read_chain(identity, file);
    BIO_free(file);
    if (fine && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        snprintf(why, WSI_TLS_WHY_SIZE, "tls_certificate: bad certificate in %s", path);
        return wsi_openssl_explain(why);
    }
    ERR_clear_error();
    return fine && order_chain(identity) && read_names(identity) ? 0 : WSOCK_ENOMEM;
}

/* A service has nobody to ask for a password. @param user (bool) set when one is wanted.
 */
static int no_password(char *buf, int size, int writing, void *user)
{
    (void)buf, (void)size, (void)writing;
    *(bool *)user = true;
    return -1;
}

static int read_key(struct identity *identity, const char *path, const char *cert_path,
                    char *why)
{
    BIO *file = BIO_new_file(path, "r");
    bool is_protected = false;

    if (file != NULL)
        identity->key = PEM_read_bio_PrivateKey(file, NULL, no_password, &is_protected);
    BIO_free(file);
    if (identity->key == NULL && !is_protected)
        return wsi_openssl_explain_file(why, "tls_key", path, "has no private key");
    if (identity->key == NULL) {
        ERR_clear_error();
        snprintf(why, WSI_TLS_WHY_SIZE,
                 "tls_key: %s is protected by a password, which is not supported", path);
        return WSOCK_ETLS;
    }
    if (X509_check_private_key(identity->certificate, identity->key))
        return 0;
    ERR_clear_error();
    snprintf(why, WSI_TLS_WHY_SIZE,
             "tls_key: %s is not the key of the first certificate in %s", path,
             cert_path);
    return WSOCK_ETLS;
}

/* ---- all of them ---- */

static int read_identity(struct wsi_identities *identities, const char *path,
                         const char **keys, const char **ocsps, char *why)
{
    struct identity *identity = &identities->of[identities->count];
    char other[PATH_SIZE];
    int r;

    if (identities->count == IDENTITIES_MAX) {
        snprintf(why, WSI_TLS_WHY_SIZE, "tls_certificate: more than %d files",
                 (int)IDENTITIES_MAX);
        return WSOCK_ETLS;
    }
    identities->count++;
    r = read_certificates(identity, path, why);
    if (r == 0)
        r = read_key(identity, next_path(keys, other) && *other != '\0' ? other : path,
                     path, why);
    if (r == 0 && next_path(ocsps, other) && *other != '\0')
        r = wsi_staple_read(&identity->staple, other, identity->certificate,
                            identity->chain, why);
    return r;
}

static void warn_of_date(struct wsi_log *log, const X509 *certificate, const char *path)
{
    const ASN1_TIME *begin = X509_get0_notBefore(certificate);
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    const bool is_over = X509_cmp_current_time(end) < 0;
    char date[WSI_TLS_DATE_SIZE];

    if (!is_over && X509_cmp_current_time(begin) < 0)
        return;
    wsi_facts_write_date(date, is_over ? end : begin);
    wsi_log(log, WSOCK_LOG_WARN, "server", "tls_certificate: %s %s %s", path,
            is_over ? "has expired on" : "is not valid before", date);
}

void wsi_identities_warn(const struct wsi_identities *identities,
                         const struct wsi_tls_config *config)
{
    const char *certificates = config->certificates, *ocsps = config->ocsp;
    char path[PATH_SIZE];

    for (unsigned i = 0; next_path(&certificates, path); i++) {
        const struct identity *identity = &identities->of[i];

        warn_of_date(config->log, identity->certificate, path);
        if (next_path(&ocsps, path) && identity->staple.stale != NULL)
            wsi_log(config->log, WSOCK_LOG_WARN, "server",
                    "tls_ocsp: %s %s, and is not stapled", path, identity->staple.stale);
    }
}

int wsi_identities_new(struct wsi_identities **out, const struct wsi_tls_config *config,
                       char *why)
{
    struct wsi_identities *identities = wsi_zalloc(sizeof *identities);
    const char *certificates = config->certificates;
    const char *keys = config->keys, *ocsps = config->ocsp;
    char path[PATH_SIZE];
    int r = identities != NULL ? 0 : WSOCK_ENOMEM;

    while (r == 0 && next_path(&certificates, path))
        r = read_identity(identities, path, &keys, &ocsps, why);
    if (r == 0 && (*keys != '\0' || *ocsps != '\0')) {
        snprintf(why, WSI_TLS_WHY_SIZE, "%s has more files than tls_certificate",
                 *keys != '\0' ? "tls_key" : "tls_ocsp");
        r = WSOCK_ETLS;
    }
    if (r < 0) {
        wsi_identities_free(identities);
        return r;
    }
    *out = identities;
    return 0;
}

void wsi_identities_free(struct wsi_identities *identities)
{
    if (identities == NULL)
        return;
    for (unsigned i = 0; i < identities->count; i++) {
        struct identity *identity = &identities->of[i];

        X509_free(identity->certificate);
        sk_X509_pop_free(identity->chain, X509_free);
        EVP_PKEY_free(identity->key);
        wsi_staple_fini(&identity->staple);
        for (unsigned n = 0; n < identity->name_count; n++)
            wsi_free(identity->names[n]);
        wsi_free(identity->names);
    }
    wsi_free(identities);
}

/* ---- which one ---- */

/* @return 2 for the very name, 1 for a wildcard that covers it, else 0. */
static int fit_name(const char *pattern, const char *name)
{
    const char *dot = strchr(name, '.');

    if (strcasecmp(pattern, name) == 0)
        return 2;
    return pattern[0] == '*' && pattern[1] == '.' && dot != NULL && dot != name &&
           strcasecmp(pattern + 1, dot) == 0;
}

static int fit(const struct identity *identity, const char *name)
{
    int best = 0;

    for (unsigned i = 0; i < identity->name_count && name != NULL && best < 2; i++) {
        const int f = fit_name(identity->names[i], name);

        if (f > best)
            best = f;
    }
    return best;
}

static int best_fit(const struct wsi_identities *identities, const char *name)
{
    int best = 0;

    for (unsigned i = 0; i < identities->count && best < 2; i++) {
        const int f = fit(&identities->of[i], name);

        if (f > best)
            best = f;
    }
    return best;
}

static bool use(SSL *ssl, const struct identity *identity)
{
    return SSL_use_cert_and_key(ssl, identity->certificate, identity->key,
                                identity->chain, 1) == 1;
}

/* The name to serve: who asks for one that nobody has gets that of the first. @return
 * (nullable) when that has none. */
static const char *name_for(const struct wsi_identities *identities, const SSL *ssl)
{
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct identity *first = &identities->of[0];

    if (!SSL_is_server(ssl) || best_fit(identities, asked) == 0)
        return first->name_count > 0 ? first->names[0] : NULL;
    return asked;
}

/* Give the handshake, of each kind of key, the first certificate that fits best. */
static int on_certificate(SSL *ssl, void *arg)
{
    const struct wsi_identities *identities = arg;
    const char *name = name_for(identities, ssl);
    const int best = best_fit(identities, name);
    int kinds[KINDS_MAX], count = 0;

    SSL_certs_clear(ssl);
    if (best == 0)
        return use(ssl, &identities->of[0]);
    for (unsigned i = 0; i < identities->count && count < KINDS_MAX; i++) {
        const struct identity *identity = &identities->of[i];
        const int kind = EVP_PKEY_get_base_id(identity->key);
        bool seen = false;

        for (int k = 0; k < count; k++)
            seen = seen || kinds[k] == kind;
        if (seen || fit(identity, name) != best)
            continue;
        if (!use(ssl, identity))
            return 0;
        kinds[count++] = kind;
    }
    return 1;
}

static int on_status(SSL *ssl, void *arg)
{
    const struct wsi_identities *identities = arg;
    const X509 *certificate = SSL_get_certificate(ssl);

    for (unsigned i = 0; i < identities->count; i++)
        if (identities->of[i].certificate == certificate &&
            wsi_staple_give(&identities->of[i].staple, ssl))
            return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_NOACK;
}

int wsi_identities_install(struct wsi_identities *identities, SSL_CTX *ssl_ctx, char *why)
{
    const struct identity *first = &identities->of[0];
    bool has_staple = false;

    if (identities->count == 0)
        return 0;
    if (SSL_CTX_use_cert_and_key(ssl_ctx, first->certificate, first->key, first->chain,
                                 1) != 1) {
        snprintf(why, WSI_TLS_WHY_SIZE, "tls_certificate: not usable");
        return wsi_openssl_explain(why);
    }
    if (identities->count > 1)
        SSL_CTX_set_cert_cb(ssl_ctx, on_certificate, identities);
    for (unsigned i = 0; i < identities->count; i++)
        has_staple = has_staple || wsi_staple_is_there(&identities->of[i].staple);
    if (has_staple) {
        SSL_CTX_set_tlsext_status_cb(ssl_ctx, on_status);
        SSL_CTX_set_tlsext_status_arg(ssl_ctx, identities);
    }
    return 0;
}
