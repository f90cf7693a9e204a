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
    tls->verify_depth = depth;
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

void wsi_verify_note(struct wsi_tls *tls, long result)
{
    const int error = wsi_openssl_certificate_error(result);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls->ssl);
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    char subject[200] = "";

    if (tls->verify_depth > 0 && tls->verify_depth < sk_X509_num(chain))
        certificate = sk_X509_value(chain, tls->verify_depth);
    else if (certificate == NULL && sk_X509_num(chain) > 0)
        certificate = sk_X509_value(chain, 0);
    if (certificate != NULL)
        X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof subject);
    wsi_tls_note(tls, error, 0, "%s (%s): %s", wsock_tls_error_text(error),
                 X509_verify_cert_error_string(result), subject);
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
