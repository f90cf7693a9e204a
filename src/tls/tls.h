/* SPDX-License-Identifier: MIT */
/*
 * TLS as a filter of a stream (io/filter.h). This header is what the connection layer
 * knows of it; which library does the work is known to openssl_*.c alone, and none.c
 * stands in where there is none.
 *
 *   wsi_tls_context   what files and options say; never changes, so that a reload makes
 *                     a new one and swaps it for connections to come
 *   wsi_filter        one connection, made of a context
 */
#ifndef WSI_TLS_TLS_H
#define WSI_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/tls.h>

#include "core/log.h"
#include "io/filter.h"

struct wsi_tls_context;

enum { WSI_TLS_WHY_SIZE = 2560 }; /* names of two files */

/* Whether a peer's certificate is asked for, and must be there. */
enum wsi_tls_verify {
    WSI_TLS_VERIFY_NONE,
    WSI_TLS_VERIFY_OPTIONAL,
    WSI_TLS_VERIFY_REQUIRED
};

/** Texts are (borrowed until return), never NULL, "" when not set. Lists are separated by
 * commas. */
struct wsi_tls_config {
    const char *certificates; /* PEM files: a certificate and its chain */
    const char *keys;         /* one for each of them; "": in the same file */
    const char *ca;      /* PEM file of authorities; "": a client takes the system's */
    const char *crl;     /* PEM file */
    const char *ocsp;    /* server: DER files, one for each certificate */
    const char *ciphers; /* of TLS 1.2 */
    const char *ciphersuites; /* of TLS 1.3 */
    const char *alpn;         /* names; "": http/1.1; "none" */
    const char *pins;         /* client: "sha256//...=;..." */
    enum wsi_tls_verify verify;
    unsigned min_version;     /* 0: the system's, but 1.2 at least; 12; 13 */
    unsigned session_seconds; /* server: how long sessions can be resumed; 0: not */
    struct wsi_log *log;      /* server: (nullable) gets a warning for each file that can
                                 be used and yet is of little use */
};

/**
 * Read and check all files. Blocks on the file system.
 *
 * @param before (nullable) of the same server: clients may resume its sessions if what
 *               concerns their certificates is the same.
 * @param why    (out) WSI_TLS_WHY_SIZE bytes: on failure a sentence that names the option
 *               or the file and gives the library's reason; on success empty.
 * @return 0; WSOCK_ETLS; WSOCK_ENOTSUP without TLS in this build; WSOCK_ENOMEM.
 */
int wsi_tls_server_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       const struct wsi_tls_context *before, char *why);
int wsi_tls_client_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       char *why);

struct wsi_tls_context *wsi_tls_context_ref(struct wsi_tls_context *context);
/** Takes NULL. */
void wsi_tls_context_unref(struct wsi_tls_context *context);

/** The server's end of a connection. @return 0; WSOCK_ENOMEM. */
int wsi_tls_accept(struct wsi_filter **out, struct wsi_tls_context *context);

/**
 * The client's end.
 *
 * @param host    (borrowed until return) a name or an address, which the certificate must
 *                have.
 * @param is_home whether it is the server that the context was made for: only that one is
 *                offered its sessions, and the client's certificate.
 * @return 0; WSOCK_ENOMEM.
 */
int wsi_tls_connect(struct wsi_filter **out, struct wsi_tls_context *context,
                    const char *host, bool is_home);

/** Why a filter of the two above has failed. */
struct wsi_tls_failure {
    int error;       /* WSOCK_TLS_* */
    int alert;       /* RFC 8446 section 6: that the peer sent, or 0 */
    const char *why; /* (borrowed from the filter) a sentence */
};
struct wsi_tls_failure wsi_tls_failure(const struct wsi_filter *filter);

/** True when the fault lies with the peer's certificate. */
bool wsi_tls_is_certificate_error(int error);

enum { WSI_TLS_FACTS = WSOCK_TLS_FACT_CHAIN + 1 };

/** What is known of a connection, by WSOCK_TLS_FACT_*. */
struct wsi_tls_facts {
    const char *text[WSI_TLS_FACTS]; /* nullable; in the same allocation */
};

/** @return (owned, nullable) freed by wsi_free(); NULL without memory. */
struct wsi_tls_facts *wsi_tls_facts_new(const struct wsi_filter *filter);

#endif
