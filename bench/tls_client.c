/* SPDX-License-Identifier: MIT */
#include "tls_client.h"

#include <stdio.h>

#include <openssl/err.h>

void die_tls(const char *what)
{
    char text[512];
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    snprintf(text, sizeof text, "%s: %s", what, reason != NULL ? reason : "cut off");
    die(text);
}

struct tls_client client_of(const char *const *values,
                            int (*on_session)(SSL *ssl, SSL_SESSION *session))
{
    return (struct tls_client){
        .version = values[TLS_TLS12] != NULL ? TLS1_2_VERSION : TLS1_3_VERSION,
        .groups = values[TLS_GROUPS],
        .on_session = values[TLS_RESUME] != NULL ? on_session : NULL,
    };
}

SSL_CTX *client_context(const struct tls_client *client)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL || SSL_CTX_set_min_proto_version(context, client->version) != 1 ||
        SSL_CTX_set_max_proto_version(context, client->version) != 1 ||
        (client->groups != NULL &&
         SSL_CTX_set1_groups_list(context, client->groups) != 1))
        die_tls("OpenSSL does not take the settings");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    if (client->on_session != NULL) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT |
                                                    SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, client->on_session);
    }
    return context;
}

SSL *client_new(SSL_CTX *context)
{
    SSL *ssl = SSL_new(context);

    if (ssl == NULL || SSL_set_tlsext_host_name(ssl, "localhost") != 1)
        die_tls("no TLS for a connection");
    SSL_set_connect_state(ssl);
    return ssl;
}
