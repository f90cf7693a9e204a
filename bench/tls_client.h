/* SPDX-License-Identifier: MIT */
/*
 * The client side of TLS in the benchmarks, by OpenSSL alone: it checks no certificate,
 * since what is measured is the server.
 */
#ifndef BENCH_TLS_CLIENT_H
#define BENCH_TLS_CLIENT_H

#include <openssl/ssl.h>

#include "support.h"

struct tls_client {
    int version;        /* the only one that is spoken */
    const char *groups; /* of the key exchange; NULL: OpenSSL's own list */
    /* Keeps the session of its argument's connection; NULL: none is kept. */
    int (*on_session)(SSL *ssl, SSL_SESSION *session);
};

/* What a command line says of it: `values` of parse_options() have these behind those
 * of a run. */
enum { TLS_GROUPS = RUN_VALUES, TLS_RESUME, TLS_TLS12, TLS_VALUES };
#define TLS_OPTION_TABLE                             \
    {"groups", required_argument, NULL, TLS_GROUPS}, \
        {"resume", no_argument, NULL, TLS_RESUME},   \
    {                                                \
        "tls12", no_argument, NULL, TLS_TLS12        \
    }
#define TLS_USAGE                                                                    \
    "  --groups LIST    of the key exchange, X25519:P-256 for one (OpenSSL's own)\n" \
    "  --resume         resume sessions\n"                                           \
    "  --tls12          speak TLS 1.2, instead of 1.3\n"

/** @param on_session for --resume. */
struct tls_client client_of(const char *const *values,
                            int (*on_session)(SSL *ssl, SSL_SESSION *session));

SSL_CTX *client_context(const struct tls_client *client);

/** A connection that is to begin, without anything to read from or to write to. */
SSL *client_new(SSL_CTX *context);

/** die(), with what OpenSSL says about it. */
void die_tls(const char *what);

#endif
