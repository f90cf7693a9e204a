/* SPDX-License-Identifier: MIT */
/*
 * Stapled answers (RFC 6066 section 8): what an authority says of a certificate, as an
 * OCSP response (RFC 6960) in a file that something else keeps fresh.
 *
 * A response that can never be right is an error. One whose time is over, or has not
 * come, is not sent: clients turn away from it, and mostly do without one. That holds
 * when it is read and for each handshake later on.
 */
#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include <wsock/error.h>

#include "tls/openssl.h"

/* By so much clocks may differ. */
enum { SKEW_SECONDS = 300 };

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec;
}

/* @return false for what is no time. */
static bool read_time(int64_t *out, const ASN1_GENERALIZEDTIME *time)
{
    struct tm tm;

    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *out = timegm(&tm);
    return true;
}

/* Whether an answer names this certificate, by whatever hash it likes. */
static bool is_about(const OCSP_SINGLERESP *single, const X509 *certificate,
                     const X509 *issuer)
{
    OCSP_CERTID *named = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single), *id;
    ASN1_OBJECT *hash = NULL;
    bool same;

    OCSP_id_get0_info(NULL, &hash, NULL, NULL, named);
    id = OCSP_cert_to_id(EVP_get_digestbyobj(hash), certificate, issuer);
    same = id != NULL && OCSP_id_cmp(id, named) == 0;
    OCSP_CERTID_free(id);
    return same;
}

/* By the issuer, or whom the issuer has certified for that (RFC 6960 section 4.2.2.2).
 * @param in_time whether certificates must hold now. */
static bool is_signed(OCSP_BASICRESP *basic, STACK_OF(X509) * chain, X509 *issuer,
                      bool in_time)
{
    const unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN |
                                (in_time ? 0 : X509_V_FLAG_NO_CHECK_TIME);
    X509_STORE *store = X509_STORE_new();
    const bool fine = store != NULL && X509_STORE_add_cert(store, issuer) == 1 &&
                      X509_STORE_set_flags(store, flags) == 1 &&
                      OCSP_basic_verify(basic, chain, store, 0) == 1;

    X509_STORE_free(store);
    return fine;
}

/* @param out (out) until, and stale. @return NULL, or what is wrong. */
static const char *check(struct wsi_staple *out, OCSP_BASICRESP *basic, X509 *certificate,
                         STACK_OF(X509) * chain)
{
    X509 *issuer = sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : certificate;
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    OCSP_SINGLERESP *single = NULL;
    int64_t since;
    int status;

    for (int i = 0; i < OCSP_resp_count(basic) && single == NULL; i++)
        if (is_about(OCSP_resp_get0(basic, i), certificate, issuer))
            single = OCSP_resp_get0(basic, i);
    if (single == NULL)
        return "is not about the certificate, or its issuer is not in the chain";
    status = OCSP_single_get0_status(single, NULL, NULL, &this_update, &next_update);
    out->until = INT64_MAX; /* for one that does not say */
    if (!read_time(&since, this_update) ||
        (next_update != NULL && !read_time(&out->until, next_update)))
        return "has a malformed time";
    if (out->until <= now())
        out->stale = "is out of date";
    else if (since > now() + SKEW_SECONDS)
        out->stale = "is of the future";
    /* Of an old answer the signer's certificate may be over as well. */
    if (!is_signed(basic, chain, issuer, out->stale == NULL))
        return "is not signed by the certificate's issuer, or for it";
    return status == V_OCSP_CERTSTATUS_GOOD ? NULL : "does not say that it is good";
}

/* @return NULL, or what is wrong. */
static const char *take(struct wsi_staple *out, OCSP_RESPONSE *response,
                        X509 *certificate, STACK_OF(X509) * chain)
{
    OCSP_BASICRESP *basic = NULL;
    const char *wrong = "is no successful answer";

    if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(response);
    if (basic != NULL)
        wrong = check(out, basic, certificate, chain);
    OCSP_BASICRESP_free(basic);
    if (wrong == NULL && out->stale == NULL)
        out->len = i2d_OCSP_RESPONSE(response, &out->der);
    return wrong;
}

int wsi_staple_read(struct wsi_staple *out, const char *path, X509 *certificate,
                    STACK_OF(X509) * chain, char *why)
{
    BIO *file = BIO_new_file(path, "rb");
    OCSP_RESPONSE *response = file != NULL ? d2i_OCSP_RESPONSE_bio(file, NULL) : NULL;
    const char *wrong;

    BIO_free(file);
    if (response == NULL)
        return wsi_openssl_explain_file(why, "tls_ocsp", path,
                                        "is no OCSP response (DER)");
    wrong = take(out, response, certificate, chain);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    if (wrong != NULL) {
        snprintf(why, WSI_TLS_WHY_SIZE, "tls_ocsp: %s %s", path, wrong);
        return WSOCK_ETLS;
    }
    return out->len > 0 || out->stale != NULL ? 0 : WSOCK_ENOMEM;
}

void wsi_staple_fini(struct wsi_staple *staple)
{
    OPENSSL_free(staple->der);
}

bool wsi_staple_is_there(const struct wsi_staple *staple)
{
    return staple->len > 0;
}

bool wsi_staple_give(const struct wsi_staple *staple, SSL *ssl)
{
    uint8_t *copy = NULL;

    if (staple->len > 0 && now() < staple->until)
        copy = OPENSSL_memdup(staple->der, (size_t)staple->len);
    if (copy == NULL)
        return false;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->len);
    return true;
}
