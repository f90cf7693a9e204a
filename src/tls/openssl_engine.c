/* SPDX-License-Identifier: MIT */
/*
 * One connection's TLS between two runs of memory. OpenSSL gets a BIO that reads what is
 * being decoded and writes to the filter's output; it sees no socket.
 *
 * All input is taken each time: what is not a whole record yet waits inside OpenSSL,
 * which gives its buffers back when they are empty (SSL_MODE_RELEASE_BUFFERS), unless the
 * filter is told to keep them.
 */
#include <limits.h>

#include <openssl/err.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "tls/openssl.h"

/* ---- the BIO ---- */

/* Reads in a row that bring no data, of two for each record. A peer may send any number
 * of KeyUpdates (RFC 8446 section 4.6.3), which OpenSSL would take one and all in one
 * call. */
enum { READS_MAX = 128 };

static int bio_read(BIO *bio, char *out, int size)
{
    struct wsi_tls *tls = BIO_get_data(bio);
    const size_t n = (size_t)size < tls->in_len ? (size_t)size : tls->in_len;

    BIO_clear_retry_flags(bio);
    /* Without a retry that is the end. */
    if (tls->filter.ready && ++tls->reads > READS_MAX)
        return -1;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct wsi_tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (wsi_buf_append(tls->filter.output, data, (size_t)len, SIZE_MAX / 2) < 0) {
        tls->no_memory = true;
        return -1;
    }
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "libwsock");
    if (method != NULL &&
        (!BIO_meth_set_read(method, bio_read) || !BIO_meth_set_write(method, bio_write) ||
         !BIO_meth_set_ctrl(method, bio_ctrl))) {
        BIO_meth_free(method);
        method = NULL;
    }
}

static bool attach_bio(struct wsi_tls *tls)
{
    BIO *bio;

    pthread_once(&method_once, make_method);
    bio = method != NULL ? BIO_new(method) : NULL;
    if (bio == NULL)
        return false;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return true;
}

/* ---- failing ---- */

/* OpenSSL judges an answer by the thread's errors, which others may have left; looking is
 * cheaper than clearing. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static void note_alert(struct wsi_tls *tls, int error, int alert)
{
    wsi_tls_note(tls, error, alert, "the peer refused with the alert \"%s\"%s",
                 wsi_openssl_alert_text(alert),
                 alert == SSL_AD_CERTIFICATE_REQUIRED
                     ? ": the server wants a client certificate"
                     : "");
}

/* What OpenSSL gave up for. */
static void fail(struct wsi_tls *tls, unsigned long code)
{
    const char *reason = tls->reads > READS_MAX ? "too many records without data"
                                                : ERR_reason_error_string(code);
    const long verified = SSL_get_verify_result(tls->ssl);
    int alert;
    int error = wsi_openssl_classify(code, &alert);

    if (tls->no_memory)
        error = WSOCK_TLS_NO_MEMORY;
    if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
        ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        wsi_verify_note(tls, verified);
    else if (alert != 0)
        note_alert(tls, error, alert);
    else if (error != WSOCK_TLS_PROTOCOL)
        wsi_tls_note(tls, error, 0, "%s", wsock_tls_error_text(error));
    else
        wsi_tls_note(tls, error, 0, "%s: %s", wsock_tls_error_text(error),
                     reason != NULL ? reason : "no reason given");
}

/* ---- in ---- */

/* After OpenSSL answered r. @return true when it only waits for more. */
static bool waits(struct wsi_tls *tls, int r)
{
    switch (SSL_get_error(tls->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return true;
    case SSL_ERROR_ZERO_RETURN:
        tls->filter.finished = true;
        return false;
    default:
        fail(tls, ERR_peek_error());
        return false;
    }
}

/* In TLS 1.2 what follows the greeting has small limits of OpenSSL's own; in 1.3 there
 * may be a second greeting, and the rest is in records of another type. */
static bool admits(struct wsi_tls *tls)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, SSL_AD_ILLEGAL_PARAMETER};

    if (!SSL_is_server(tls->ssl) || SSL_version(tls->ssl) == TLS1_2_VERSION ||
        wsi_hello_admit(&tls->hello, tls->in, tls->in_len))
        return true;
    wsi_tls_note(tls, WSOCK_TLS_PROTOCOL, 0,
                 "%s: its ClientHello is longer than %d bytes",
                 wsock_tls_error_text(WSOCK_TLS_PROTOCOL), (int)WSI_HELLO_MAX);
    bio_write(SSL_get_wbio(tls->ssl), (const char *)alert, sizeof alert);
    return false;
}

static void handshake(struct wsi_tls *tls)
{
    const int r = SSL_do_handshake(tls->ssl);

    if (r != 1) {
        waits(tls, r);
    } else if (!wsi_verify_pinned(tls->context, tls->ssl)) {
        wsi_tls_note(tls, WSOCK_TLS_PIN, 0, "%s", wsock_tls_error_text(WSOCK_TLS_PIN));
        SSL_shutdown(tls->ssl);
    } else {
        tls->filter.ready = true;
    }
}

/* SSL_read() gives one record at most, and what waits for more has taken all input. */
static size_t read_records(struct wsi_tls *tls, uint8_t *out)
{
    size_t len = 0;
    int n;

    do {
        n = SSL_read(tls->ssl, out + len, INT_MAX);
        if (n > 0)
            len += (size_t)n;
        else
            waits(tls, n);
        tls->reads = 0;
    } while (n > 0 && tls->in_len > 0);
    return len;
}

static size_t decode(struct wsi_filter *filter, const uint8_t *in, size_t in_len,
                     uint8_t *out)
{
    struct wsi_tls *tls = wsi_tls_of(filter);
    size_t len = 0;

    tls->in = in;
    tls->in_len = in_len;
    tls->reads = 0;
    clear_errors();
    /* A server has nothing to say first; until its client does, OpenSSL shall not take
     * what a handshake needs. */
    if (!filter->ready && (in_len > 0 || !SSL_is_server(tls->ssl)) && admits(tls))
        handshake(tls);
    if (filter->ready && tls->in_len > 0)
        len = read_records(tls, out);
    tls->in_len = 0;
    return len;
}

/* ---- out ---- */

static void encode(struct wsi_filter *filter, const uint8_t *data, size_t len)
{
    struct wsi_tls *tls = wsi_tls_of(filter);

    /* The BIO takes everything, so no SSL_get_error() has to judge by the thread's
     * errors, and others' may stay in front of ours. */
    if (SSL_write(tls->ssl, data, (int)len) <= 0)
        fail(tls, ERR_peek_last_error());
}

static void end(struct wsi_filter *filter)
{
    struct wsi_tls *tls = wsi_tls_of(filter);

    ERR_clear_error();
    if (SSL_shutdown(tls->ssl) < 0)
        ERR_clear_error();
}

static void keep(struct wsi_filter *filter, bool on)
{
    SSL *ssl = wsi_tls_of(filter)->ssl;

    if (on) {
        SSL_clear_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    } else {
        SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
        /* It does nothing in the middle of a record: then each buffer goes with the next
         * use that empties it. */
        SSL_free_buffers(ssl);
    }
}

static void free_tls(struct wsi_filter *filter)
{
    struct wsi_tls *tls = wsi_tls_of(filter);

    /* What ended without a close_notify may be resumed all the same (RFC 8446 section
     * 6.1); OpenSSL would forget the session. */
    if (!filter->failed)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    X509_free(tls->faulty);
    wsi_tls_context_unref(tls->context);
    wsi_free(tls->error);
    wsi_free(tls);
}

static const struct wsi_filter_ops ops = {decode, encode, end, keep, free_tls};

int wsi_tls_new(struct wsi_tls **out, struct wsi_tls_context *context)
{
    struct wsi_tls *tls = wsi_zalloc(sizeof *tls);

    if (tls == NULL)
        return WSOCK_ENOMEM;
    tls->filter.ops = &ops;
    tls->ssl = SSL_new(context->ssl_ctx);
    if (tls->ssl == NULL || !SSL_set_app_data(tls->ssl, tls) || !attach_bio(tls)) {
        ERR_clear_error();
        SSL_free(tls->ssl);
        wsi_free(tls);
        return WSOCK_ENOMEM;
    }
    tls->context = wsi_tls_context_ref(context);
    *out = tls;
    return 0;
}
