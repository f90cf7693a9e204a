/* SPDX-License-Identifier: MIT */
/* OpenSSL's errors, as ours. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "tls/openssl.h"

/* What comes of a want of memory lies above it, and may have any name. @param last (out)
 * 0 when there is no error. @return whether there was one. */
static bool take_errors(unsigned long *last)
{
    unsigned long code;
    bool no_memory = false;

    *last = 0;
    while ((code = ERR_get_error()) != 0) {
        *last = code;
        if (!ERR_SYSTEM_ERROR(code) && ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            no_memory = true;
    }
    return no_memory;
}

int wsi_openssl_explain(char *why)
{
    const size_t len = strlen(why);
    const char *reason = NULL;
    unsigned long last;
    const bool no_memory = take_errors(&last);

    if (last != 0)
        reason = ERR_SYSTEM_ERROR(last) ? strerror(ERR_GET_REASON(last))
                                        : ERR_reason_error_string(last);
    snprintf(why + len, WSI_TLS_WHY_SIZE - len, ": %s",
             reason != NULL ? reason : "no reason given");
    return no_memory ? WSOCK_ENOMEM : WSOCK_ETLS;
}

static const struct {
    int reason, error;
} classes[] = {
    {SSL_R_WRONG_VERSION_NUMBER, WSOCK_TLS_NOT_TLS},
    {SSL_R_HTTP_REQUEST, WSOCK_TLS_NOT_TLS},
    {SSL_R_HTTPS_PROXY_REQUEST, WSOCK_TLS_NOT_TLS},
    {SSL_R_UNSUPPORTED_PROTOCOL, WSOCK_TLS_VERSION},
    {SSL_R_UNKNOWN_PROTOCOL, WSOCK_TLS_VERSION},
    {SSL_R_VERSION_TOO_LOW, WSOCK_TLS_VERSION},
    {SSL_R_VERSION_TOO_HIGH, WSOCK_TLS_VERSION},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, WSOCK_TLS_VERSION},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, WSOCK_TLS_VERSION},
    {SSL_R_INAPPROPRIATE_FALLBACK, WSOCK_TLS_VERSION},
    {SSL_R_NO_SHARED_CIPHER, WSOCK_TLS_CIPHER},
    {SSL_R_NO_CIPHERS_AVAILABLE, WSOCK_TLS_CIPHER},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, WSOCK_TLS_CIPHER},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, WSOCK_TLS_CIPHER},
    {SSL_R_NO_SUITABLE_KEY_SHARE, WSOCK_TLS_CIPHER},
    {SSL_R_NO_SUITABLE_GROUPS, WSOCK_TLS_CIPHER},
    {SSL_R_NO_APPLICATION_PROTOCOL, WSOCK_TLS_APPLICATION_PROTOCOL},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, WSOCK_TLS_NO_CERTIFICATE},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, WSOCK_TLS_TRUNCATED},
};

int wsi_openssl_classify(int *alert)
{
    const unsigned long code = ERR_peek_error();
    const int reason = ERR_GET_REASON(code);
    unsigned long last;

    *alert = 0;
    if (take_errors(&last))
        return WSOCK_TLS_NO_MEMORY;
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return WSOCK_TLS_PROTOCOL;
    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255)
        *alert = reason - SSL_AD_REASON_OFFSET;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (classes[i].reason == reason)
            return classes[i].error;
    return *alert != 0 ? WSOCK_TLS_ALERT : WSOCK_TLS_PROTOCOL;
}

int wsi_openssl_certificate_error(long verify_result)
{
    switch (verify_result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return WSOCK_TLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return WSOCK_TLS_NOT_YET_VALID;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return WSOCK_TLS_WRONG_NAME;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return WSOCK_TLS_UNKNOWN_ISSUER;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return WSOCK_TLS_SELF_SIGNED;
    case X509_V_ERR_CERT_REVOKED:
        return WSOCK_TLS_REVOKED;
    case X509_V_ERR_OUT_OF_MEM:
        return WSOCK_TLS_NO_MEMORY;
    default:
        return WSOCK_TLS_BAD_CERTIFICATE;
    }
}

void wsi_tls_note(struct wsi_tls *tls, int error, int alert, const char *fmt, ...)
{
    va_list args;

    tls->filter.failed = true;
    if (tls->error != NULL)
        return;
    tls->error = wsi_zalloc(sizeof *tls->error);
    if (tls->error == NULL)
        return;
    tls->error->error = error;
    tls->error->alert = alert;
    va_start(args, fmt);
    vsnprintf(tls->error->why, sizeof tls->error->why, fmt, args);
    va_end(args);
}

struct wsi_tls_failure wsi_tls_failure(const struct wsi_filter *filter)
{
    const struct wsi_tls_error *error = wsi_tls_of(filter)->error;

    if (error == NULL)
        return (struct wsi_tls_failure){
            .error = WSOCK_TLS_NO_MEMORY,
            .why = wsock_tls_error_text(WSOCK_TLS_NO_MEMORY),
        };
    return (struct wsi_tls_failure){error->error, error->alert, error->why};
}
