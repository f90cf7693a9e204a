/* SPDX-License-Identifier: MIT */
/*
 * The client side of TLS in the benchmarks, by OpenSSL alone: it checks no certificate,
 * since what is measured is the server.
 */
#ifndef BENCH_TLS_CLIENT_H
#define BENCH_TLS_CLIENT_H

#include <openssl/ssl.h>

struct tls_client {
    int version;        /* the only one that is spoken */
    const char *groups; /* of the key exchange; NULL: OpenSSL's own list */
    /* Keeps the session of its argument's connection; NULL: none is kept. */
    int (*on_session)(SSL *ssl, SSL_SESSION *session);
};

SSL_CTX *client_context(const struct tls_client *client);

/** A connection that is to begin, without anything to read from or to write to. */
SSL *client_new(SSL_CTX *context);

/** die(), with what OpenSSL says about it. */
void die_tls(const char *what);

#endif
