/* SPDX-License-Identifier: MIT */
/* Who decides on members of rooms: signed tokens, a backend, or nobody. */
#include "auth.h"

#include <stddef.h>

#include "tool.h"

static const char command[] = "serve";

int auth_add_header(struct auth *auth, const char *name)
{
    struct backend_config *config = &auth->by_backend;

    if (config->header_count == BACKEND_HEADERS_MAX)
        return usage_error(command, "more than %d of --auth-header", BACKEND_HEADERS_MAX);
    config->headers[config->header_count++] = name;
    return 0;
}

static int check(const struct auth *auth)
{
    const struct tokens_config *by_token = &auth->by_token;
    const int has_key = by_token->secret_file != NULL || by_token->key_file != NULL;

    if (by_token->secret_file != NULL && by_token->key_file != NULL)
        return usage_error(command, "either --jwt-secret or --jwt-key");
    if (has_key && auth->by_backend.url != NULL)
        return usage_error(command, "either signed tokens or --auth-url");
    if (!has_key && (by_token->issuer != NULL || by_token->audience != NULL))
        return usage_error(command, "--jwt-issuer and --jwt-audience have an effect with "
                                    "--jwt-secret or --jwt-key only");
    if (auth->by_backend.url == NULL && auth->by_backend.header_count > 0)
        return usage_error(command, "--auth-header has an effect with --auth-url only");
    if (auth->by_backend.timeout_ms < 100)
        return usage_error(command, "--auth-timeout: at least 0.1 seconds");
    return 0;
}

int auth_start(struct auth *auth, wsock_runtime *runtime, const wsock_rooms_hooks **hooks,
               void **user)
{
    int status = check(auth);

    *hooks = NULL;
    *user = NULL;
    if (status != 0)
        return status;
    if (auth->by_backend.url != NULL) {
        status = backend_new(&auth->backend, &auth->by_backend);
        *hooks = &backend_hooks;
        *user = auth->backend;
    } else if (auth->by_token.secret_file != NULL || auth->by_token.key_file != NULL) {
        status = tokens_new(&auth->tokens, runtime, &auth->by_token);
        *hooks = &tokens_hooks;
        *user = auth->tokens;
    }
    return status;
}

void auth_stop(struct auth *auth)
{
    backend_stop(auth->backend);
}

void auth_end(struct auth *auth)
{
    backend_free(auth->backend);
    tokens_free(auth->tokens);
}
