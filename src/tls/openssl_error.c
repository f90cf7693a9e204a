/* SPDX-License-Identifier: MIT */
/* OpenSSL's errors, as ours. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pemerr.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509err.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "tls/openssl.h"

/* What OpenSSL has to say, each 0 when there is no such thing. What comes of an error of
 * the system or a want of memory lies above it, and may have any name. */
struct errors {
    unsigned long last;
    int system; /* errno */
    bool no_memory;
    bool no_start; /* of anything in PEM */
};

static struct errors take_errors(void)
{
    struct errors errors = {0};
    unsigned long code;

    while ((code = ERR_get_error()) != 0) {
        errors.last = code;
        if (ERR_SYSTEM_ERROR(code))
            errors.system = ERR_GET_REASON(code);
        else if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            errors.no_memory = true;
        else if (ERR_GET_LIB(code) == ERR_LIB_PEM &&
                 ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
            errors.no_start = true;
    }
    return errors;
}

static int append_reason(char *why, const struct errors *errors)
{
    const size_t len = strlen(why);
    const char *reason = errors->system != 0 ? strerror(errors->system)
                                             : ERR_reason_error_string(errors->last);

    snprintf(why + len, WSI_TLS_WHY_SIZE - len, ": %s",
             reason != NULL ? reason : "no reason given");
    return errors->no_memory ? WSOCK_ENOMEM : WSOCK_ETLS;
}

int wsi_openssl_explain(char *why)
{
    const struct errors errors = take_errors();

    return append_reason(why, &errors);
}

/* Whether a reader found nothing that it knows, rather than something broken. */
static bool is_foreign(const struct errors *errors)
{
    const int reason = ERR_GET_REASON(errors->last);

    if (errors->system != 0 || errors->last == 0 || errors->no_start)
        return errors->system == 0;
    switch (ERR_GET_LIB(errors->last)) {
    case ERR_LIB_ASN1:
        return true;
    case ERR_LIB_X509:
        return reason == X509_R_NO_CERTIFICATE_FOUND || reason == X509_R_NO_CRL_FOUND ||
               reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND;
    default:
        return reason == ERR_R_UNSUPPORTED;
    }
}

int wsi_openssl_explain_file(char *why, const char *option, const char *path,
                             const char *lacks)
{
    const struct errors errors = take_errors();

    if (is_foreign(&errors) && !errors.no_memory) {
        snprintf(why, WSI_TLS_WHY_SIZE, "%s: %s %s", option, path, lacks);
        return WSOCK_ETLS;
    }
    snprintf(why, WSI_TLS_WHY_SIZE, "%s: cannot read %s", option, path);
    return append_reason(why, &errors);
}

const char *wsi_openssl_alert_text(int alert)
{
    switch (alert) { /* what OpenSSL has no words for, or poor ones */
    case SSL_AD_INAPPROPRIATE_FALLBACK:
        return "inappropriate fallback";
    case SSL_AD_MISSING_EXTENSION:
        return "missing extension";
    case SSL_AD_CERTIFICATE_REQUIRED:
        return "certificate required";
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return "no application protocol";
    default:
        return SSL_alert_desc_string_long(alert);
    }
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

int wsi_openssl_classify(unsigned long code, int *alert)
{
    const int reason = ERR_GET_REASON(code);

    *alert = 0;
    if (take_errors().no_memory)
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
