/* SPDX-License-Identifier: MIT */
/*
 * The peer's certificate: against which authorities and revocations it is checked (RFC
 * 5280, by OpenSSL), what is said when it does not hold, and pinned keys.
 *
 * Revocations (option tls_crl): the peer's own certificate needs a list of its issuer in
 * the file. Authorities between it and the root are checked where the file has a list of
 * theirs.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

#include <wsock/error.h>

#include "proto/base64.h"
#include "tls/openssl.h"

/* Runs for every certificate of the chain that something is wrong with. */
static int on_verified(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct wsi_tls *tls = SSL_get_app_data(ssl);
    const int depth = X509_STORE_CTX_get_error_depth(store);

    if (ok)
        return 1;
    if (depth > 0 && X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    X509_free(tls->faulty); /* an end that does not insist goes on to the next */
    tls->faulty = X509_STORE_CTX_get_current_cert(store);
    if (tls->faulty != NULL)
        X509_up_ref(tls->faulty);
    return 0;
}

static int add_crl(SSL_CTX *ssl_ctx, const char *file, char *why)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

    if (lookup == NULL || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) < 1)
        return wsi_openssl_explain_file(why, "tls_crl", file,
                                        "has no list of revoked certificates in PEM");
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return 0;
}

static int add_authorities(struct wsi_tls_context *context, const char *file, char *why)
{
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    STACK_OF(X509_NAME) *names = NULL;

    if (*file == '\0' && !context->is_server) {
        if (SSL_CTX_set_default_verify_paths(ssl_ctx))
            return 0;
        snprintf(why, WSI_TLS_WHY_SIZE, "the system's authorities cannot be read");
        return wsi_openssl_explain(why);
    } else if (*file == '\0') {
        snprintf(why, WSI_TLS_WHY_SIZE,
                 "tls_verify_client needs tls_ca, the authorities of the clients");
        return WSOCK_ETLS;
    } else if (SSL_CTX_load_verify_file(ssl_ctx, file) &&
               (!context->is_server || (names = SSL_load_client_CA_file(file)) != NULL)) {
        if (names != NULL)
            SSL_CTX_set_client_CA_list(ssl_ctx, names);
        return 0;
    }
    return wsi_openssl_explain_file(why, "tls_ca", file, "has no certificate in PEM");
}

int wsi_verify_install(struct wsi_tls_context *context,
                       const struct wsi_tls_config *config, char *why)
{
    int mode = SSL_VERIFY_PEER;
    int r;

    if (config->verify == WSI_TLS_VERIFY_NONE) {
        /* A client is told all the same what came of it. */
        if (context->is_server)
            return 0;
        mode = SSL_VERIFY_NONE;
    }
    if (context->is_server && config->verify == WSI_TLS_VERIFY_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context->ssl_ctx, mode, on_verified);
    r = add_authorities(context, config->ca, why);
    if (r == 0 && *config->crl != '\0')
        r = add_crl(context->ssl_ctx, config->crl, why);
    return r;
}

/* ---- what is said ---- */

static const char dots[] = "...";

enum { SUBJECT_MAX = 100, ASKED_MAX = 80, NAMES_MAX = 120, EXTRA_MAX = 240 };

/* What was printed, cut where it is too long, but not within a character.
 * @param out max bytes, and room for dots. */
static void take_text(BIO *from, char *out, size_t max)
{
    char *data;
    const long printed = BIO_get_mem_data(from, &data);
    size_t len = printed > 0 ? (size_t)printed : 0;
    const bool fits = len <= max;

    if (!fits)
        for (len = max; len > 0 && ((unsigned char)data[len] & 0xC0) == 0x80;)
            len--;
    if (len > 0)
        memcpy(out, data, len);
    memcpy(out + len, fits ? "" : dots, fits ? 1 : sizeof dots);
    (void)BIO_reset(from);
}

static void write_date(char *out, size_t size, const char *word, const ASN1_TIME *time)
{
    char date[WSI_TLS_DATE_SIZE];

    wsi_facts_write_date(date, time);
    snprintf(out, size, " (%s %s)", word, date);
}

/* Who was asked for, and who answered. */
static void write_names(char *out, size_t size, const SSL *ssl, const X509 *certificate,
                        BIO *room)
{
    X509_VERIFY_PARAM *param = SSL_get0_param((SSL *)(uintptr_t)ssl);
    GENERAL_NAMES *has = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const char *asked = X509_VERIFY_PARAM_get0_host(param, 0);
    char *address = asked == NULL ? X509_VERIFY_PARAM_get1_ip_asc(param) : NULL;
    char names[NAMES_MAX + sizeof "..."];

    wsi_facts_print_names(room, has);
    take_text(room, names, NAMES_MAX);
    if (address != NULL)
        asked = address;
    snprintf(out, size, " (asked for %.*s; it has %s)", (int)ASKED_MAX,
             asked != NULL ? asked : "none", *names != '\0' ? names : "no names");
    OPENSSL_free(address);
    GENERAL_NAMES_free(has);
}

/* What more there is to say than the error's own text does. */
static void write_extra(char *out, size_t size, const struct wsi_tls *tls, int error,
                        long result, BIO *room)
{
    const X509 *certificate = tls->faulty;

    out[0] = '\0';
    if (error == WSOCK_TLS_EXPIRED)
        write_date(out, size, "on", X509_get0_notAfter(certificate));
    else if (error == WSOCK_TLS_NOT_YET_VALID)
        write_date(out, size, "before", X509_get0_notBefore(certificate));
    else if (error == WSOCK_TLS_WRONG_NAME)
        write_names(out, size, tls->ssl, certificate, room);
    else if (error != WSOCK_TLS_REVOKED && error != WSOCK_TLS_SELF_SIGNED)
        snprintf(out, size, " (%s)", X509_verify_cert_error_string(result));
}

void wsi_verify_note(struct wsi_tls *tls, long result)
{
    const int error = wsi_openssl_certificate_error(result);
    BIO *room = BIO_new(BIO_s_mem());
    char subject[SUBJECT_MAX + sizeof "..."], extra[EXTRA_MAX];

    if (room == NULL || tls->faulty == NULL) {
        wsi_tls_note(tls, error, 0, "%s (%s)", wsock_tls_error_text(error),
                     X509_verify_cert_error_string(result));
    } else {
        wsi_facts_print_name(room, X509_get_subject_name(tls->faulty));
        take_text(room, subject, SUBJECT_MAX);
        write_extra(extra, sizeof extra, tls, error, result, room);
        wsi_tls_note(tls, error, 0, "%s%s: %s", wsock_tls_error_text(error), extra,
                     subject);
    }
    BIO_free(room);
    ERR_clear_error();
}

/* ---- pins ---- */

static const char pin_prefix[] = "sha256//";

enum { PIN_TEXT = WSI_BASE64_LEN((size_t)WSI_TLS_PIN_SIZE) };

static bool parse_pin(const char *text, size_t len, uint8_t pin[WSI_TLS_PIN_SIZE + 1])
{
    const size_t prefix = sizeof pin_prefix - 1;

    return len == prefix + PIN_TEXT && memcmp(text, pin_prefix, prefix) == 0 &&
           wsi_base64_decode(pin, (struct wsi_str){text + prefix, len - prefix}) ==
               WSI_TLS_PIN_SIZE;
}

int wsi_verify_pins(struct wsi_tls_context *context, const char *pins, char *why)
{
    while (*pins != '\0') {
        const size_t len = strcspn(pins, ";");
        uint8_t pin[WSI_TLS_PIN_SIZE + 1]; /* as decoding may write */

        if (context->pin_count == WSI_TLS_PINS_MAX) {
            snprintf(why, WSI_TLS_WHY_SIZE, "tls_pin: more than %d",
                     (int)WSI_TLS_PINS_MAX);
            return WSOCK_ETLS;
        }
        if (!parse_pin(pins, len, pin)) {
            snprintf(why, WSI_TLS_WHY_SIZE,
                     "tls_pin: \"%.*s\" is not sha256// and 44 characters of base64",
                     (int)(len < 100 ? len : 100), pins);
            return WSOCK_ETLS;
        }
        memcpy(context->pin[context->pin_count++], pin, WSI_TLS_PIN_SIZE);
        pins += len;
        pins += *pins == ';';
    }
    return 0;
}

bool wsi_verify_key_hash(const X509 *certificate, uint8_t hash[WSI_TLS_PIN_SIZE])
{
    unsigned char *der = NULL;
    const int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool hashed;

    if (len <= 0)
        return false;
    hashed = EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return hashed;
}

bool wsi_verify_pinned(const struct wsi_tls_context *context, const SSL *ssl)
{
    const X509 *certificate;
    uint8_t hash[WSI_TLS_PIN_SIZE];

    if (context->pin_count == 0)
        return true;
    certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == NULL || !wsi_verify_key_hash(certificate, hash))
        return false;
    for (unsigned i = 0; i < context->pin_count; i++)
        if (memcmp(context->pin[i], hash, sizeof hash) == 0)
            return true;
    return false;
}
