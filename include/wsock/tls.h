/* SPDX-License-Identifier: MIT */
/**
 * @file
 * TLS (RFC 8446, RFC 5246), for URLs that begin with wss:. What certificates, authorities
 * and versions are used is said by options, tls_... (docs/tls.md); this file has what is
 * known about a connection, and why its TLS failed.
 */
#ifndef WSOCK_TLS_H
#define WSOCK_TLS_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What went wrong with TLS, for wsock_close_info.tls_error: `X(NAME, value, text)`. */
#define WSOCK_TLS_ERROR_MAP(X)                                                  \
    X(NONE, 0, "no error of TLS")                                               \
    X(PROTOCOL, 1, "the peer broke the TLS protocol")                           \
    X(NOT_TLS, 2, "the peer does not speak TLS")                                \
    X(VERSION, 3, "there is no version of TLS that both ends accept")           \
    X(CIPHER, 4, "there is no cipher or signature that both ends accept")       \
    X(ALERT, 5, "the peer refused with an alert")                               \
    X(APPLICATION_PROTOCOL, 6, "the peer does not offer http/1.1 (ALPN)")       \
    X(EXPIRED, 7, "the certificate has expired")                                \
    X(NOT_YET_VALID, 8, "the certificate is not valid yet")                     \
    X(WRONG_NAME, 9, "the certificate is for another name")                     \
    X(UNKNOWN_ISSUER, 10, "the certificate's issuer is not known")              \
    X(SELF_SIGNED, 11, "the certificate is self-signed and not known")          \
    X(REVOKED, 12, "the certificate was revoked")                               \
    X(BAD_CERTIFICATE, 13, "the certificate is not valid")                      \
    X(NO_CERTIFICATE, 14, "the peer has no certificate")                        \
    X(PIN, 15, "the public key is none of the pinned ones")                     \
    X(TRUNCATED, 16, "the stream was cut off without a close_notify")           \
    X(NO_MEMORY, 17, "out of memory")

#define WSOCK_TLS_CONSTANT_(name, value, text) WSOCK_TLS_##name = (value),
enum { WSOCK_TLS_ERROR_MAP(WSOCK_TLS_CONSTANT_) };
#undef WSOCK_TLS_CONSTANT_

/** The text of an error of TLS; "unknown error" for another number. @return (borrowed)
 * static text. Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_tls_error_text(int tls_error);

/** What is known of a connection's TLS, for wsock_conn_tls(). */
enum {
    WSOCK_TLS_FACT_VERSION = 0,     /**< "TLSv1.3" */
    WSOCK_TLS_FACT_CIPHER = 1,      /**< "TLS_AES_256_GCM_SHA384" */
    WSOCK_TLS_FACT_SERVER_NAME = 2, /**< the name that the client asked for (SNI) */
    WSOCK_TLS_FACT_PROTOCOL = 3,    /**< by ALPN: "http/1.1" */
    WSOCK_TLS_FACT_RESUMED = 4,     /**< "yes" for a session resumed, else "no" */
    WSOCK_TLS_FACT_SUBJECT = 5,     /**< of the peer's certificate, RFC 2253:
                                         "CN=alice,O=Example" */
    WSOCK_TLS_FACT_ISSUER = 6,      /**< of the peer's certificate */
    WSOCK_TLS_FACT_NAMES = 7,       /**< its alternative names, "DNS:a.example, IP
                                         Address:192.0.2.1"; in a name \2C is a comma and
                                         \5C a backslash */
    WSOCK_TLS_FACT_FINGERPRINT = 8, /**< SHA-256 of it, 64 hexadecimal digits */
    WSOCK_TLS_FACT_PIN = 9,         /**< of its key, as the option tls_pin takes it:
                                         "sha256//...=" */
    WSOCK_TLS_FACT_VERIFIED = 10,   /**< "yes", or why the certificate does not hold */
    WSOCK_TLS_FACT_CHAIN = 11,      /**< subjects of all certificates that the peer sent,
                                         its own first, each on a line */
};

/**
 * What is known of a connection's TLS; at a server from on_request on, at a client from
 * on_open on, or, when it did not open, from its end on: what the handshake came to, and
 * the certificates that were not accepted.
 *
 * A server's peer has a certificate only if the option tls_verify_client asks for one.
 *
 * @param fact WSOCK_TLS_FACT_*.
 * @return (borrowed from conn, nullable) NULL without TLS, before it is known, when the
 *         peer has no such thing, and for another number. Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_conn_tls(const wsock_conn *conn, int fact);
/** The same for a request. @return (borrowed from request, nullable) */
WSOCK_API const char *wsock_request_tls(const wsock_request *request, int fact);

#ifdef __cplusplus
}
#endif

#endif
