/* SPDX-License-Identifier: MIT */
/* What is told of a connection's TLS: texts, gathered once, while OpenSSL has them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "core/alloc.h"
#include "proto/base64.h"
#include "tls/openssl.h"

/* All texts are written into one BIO, each ended by a NUL; at[] is where they begin, from
 * 1, 0 for none. */
struct gathering {
    BIO *out;
    size_t at[WSI_TLS_FACTS];
};

static size_t size_of(BIO *out)
{
    char *data;

    return (size_t)BIO_get_mem_data(out, &data);
}

static void begin(struct gathering *g, int fact)
{
    g->at[fact] = size_of(g->out) + 1;
}

static void finish(struct gathering *g)
{
    BIO_write(g->out, "", 1);
}

static void add(struct gathering *g, int fact, const char *text)
{
    if (text == NULL || *text == '\0')
        return;
    begin(g, fact);
    BIO_puts(g->out, text);
    finish(g);
}

static void add_session(struct gathering *g, const SSL *ssl)
{
    const SSL_CIPHER *current = SSL_get_current_cipher(ssl);
    /* The other is of a handshake that was not finished. */
    const SSL_CIPHER *cipher = current != NULL ? current : SSL_get_pending_cipher(ssl);
    const unsigned char *protocol;
    unsigned len;

    if (cipher == NULL) /* nothing was agreed on */
        return;
    add(g, WSOCK_TLS_FACT_VERSION, SSL_get_version(ssl));
    add(g, WSOCK_TLS_FACT_CIPHER, SSL_CIPHER_get_name(cipher));
    add(g, WSOCK_TLS_FACT_SERVER_NAME,
        SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    add(g, WSOCK_TLS_FACT_RESUMED, SSL_session_reused(ssl) ? "yes" : "no");
    SSL_get0_alpn_selected(ssl, &protocol, &len);
    if (len > 0) {
        begin(g, WSOCK_TLS_FACT_PROTOCOL);
        BIO_write(g->out, protocol, (int)len);
        finish(g);
    }
}

void wsi_facts_print_name(BIO *out, const X509_NAME *name)
{
    X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}

static void add_fingerprint(struct gathering *g, const X509 *certificate)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len;

    if (!X509_digest(certificate, EVP_sha256(), hash, &len))
        return;
    begin(g, WSOCK_TLS_FACT_FINGERPRINT);
    for (unsigned i = 0; i < len; i++)
        BIO_printf(g->out, "%02x", hash[i]);
    finish(g);
}

static void add_pin(struct gathering *g, const X509 *certificate)
{
    char text[WSI_BASE64_LEN(WSI_TLS_PIN_SIZE) + 1];
    uint8_t hash[WSI_TLS_PIN_SIZE];

    if (!wsi_verify_key_hash(certificate, hash))
        return;
    wsi_base64_encode(text, hash, sizeof hash);
    begin(g, WSOCK_TLS_FACT_PIN);
    BIO_printf(g->out, "sha256//%s", text);
    finish(g);
}

/* Of a name: a comma would read as the end of it. RFC 4514 section 2.4 escapes so. */
static void escape(BIO *out, BIO *name)
{
    char *text;
    const long len = BIO_get_mem_data(name, &text);

    for (long i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];

        BIO_printf(out, c < ' ' || c == ',' || c == '\\' ? "\\%02X" : "%c", c);
    }
}

void wsi_facts_write_date(char out[WSI_TLS_DATE_SIZE], const ASN1_TIME *time)
{
    struct tm tm;

    out[0] = '\0';
    if (ASN1_TIME_to_tm(time, &tm) == 1)
        snprintf(out, WSI_TLS_DATE_SIZE, "%04d-%02d-%02d %02d:%02d:%02d UTC",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
}

void wsi_facts_print_names(BIO *out, const GENERAL_NAMES *names)
{
    BIO *name = BIO_new(BIO_s_mem());

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && name != NULL; i++) {
        (void)BIO_reset(name);
        GENERAL_NAME_print(name, sk_GENERAL_NAME_value(names, i));
        BIO_puts(out, i > 0 ? ", " : "");
        escape(out, name);
    }
    BIO_free(name);
}

static void add_names(struct gathering *g, const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL,
                                            NULL);

    if (names != NULL) {
        begin(g, WSOCK_TLS_FACT_NAMES);
        wsi_facts_print_names(g->out, names);
        finish(g);
    }
    GENERAL_NAMES_free(names);
}

static void add_chain(struct gathering *g, const SSL *ssl, const X509 *certificate)
{
    const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

    begin(g, WSOCK_TLS_FACT_CHAIN);
    wsi_facts_print_name(g->out, X509_get_subject_name(certificate));
    /* At a server the chain is without the peer's own. */
    for (int i = SSL_is_server(ssl) ? 0 : 1; i < sk_X509_num(chain); i++) {
        BIO_puts(g->out, "\n");
        wsi_facts_print_name(g->out, X509_get_subject_name(sk_X509_value(chain, i)));
    }
    finish(g);
}

/* Of one that does not hold OpenSSL keeps the chain alone, at a client with the peer's
 * own first. */
static const X509 *certificate_of(const SSL *ssl)
{
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

    if (certificate != NULL || SSL_is_server(ssl) || sk_X509_num(chain) <= 0)
        return certificate;
    return sk_X509_value(chain, 0);
}

static const char *verdict(const struct wsi_tls *tls)
{
    const long verified = SSL_get_verify_result(tls->ssl);

    if (verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    if (tls->error != NULL && tls->error->error == WSOCK_TLS_PIN)
        return wsock_tls_error_text(WSOCK_TLS_PIN);
    return "yes";
}

static void add_certificate(struct gathering *g, const struct wsi_tls *tls)
{
    const X509 *certificate = certificate_of(tls->ssl);

    if (certificate == NULL)
        return;
    begin(g, WSOCK_TLS_FACT_SUBJECT);
    wsi_facts_print_name(g->out, X509_get_subject_name(certificate));
    finish(g);
    begin(g, WSOCK_TLS_FACT_ISSUER);
    wsi_facts_print_name(g->out, X509_get_issuer_name(certificate));
    finish(g);
    add_names(g, certificate);
    add_fingerprint(g, certificate);
    add_pin(g, certificate);
    add_chain(g, tls->ssl, certificate);
    add(g, WSOCK_TLS_FACT_VERIFIED, verdict(tls));
}

/* @return (owned, nullable) */
static struct wsi_tls_facts *facts_from(const struct gathering *g)
{
    char *data;
    const size_t size = (size_t)BIO_get_mem_data(g->out, &data);
    struct wsi_tls_facts *facts = wsi_zalloc(sizeof *facts + size + 1);
    char *texts;

    if (facts == NULL)
        return NULL;
    texts = (char *)(facts + 1);
    if (size > 0) /* else `data` may be NULL */
        memcpy(texts, data, size);
    for (int i = 0; i < WSI_TLS_FACTS; i++)
        if (g->at[i] > 0)
            facts->text[i] = texts + g->at[i] - 1;
    return facts;
}

struct wsi_tls_facts *wsi_tls_facts_new(const struct wsi_filter *filter)
{
    const struct wsi_tls *tls = wsi_tls_of(filter);
    struct gathering g = {.out = BIO_new(BIO_s_mem())};
    struct wsi_tls_facts *facts;

    if (g.out == NULL)
        return NULL;
    add_session(&g, tls->ssl);
    add_certificate(&g, tls);
    facts = facts_from(&g);
    BIO_free(g.out);
    ERR_clear_error();
    return facts;
}
