/* SPDX-License-Identifier: MIT */
/*
 * Members who prove who they are by signed tokens. What a connection's token says stays
 * with the connection: it decides, too, which rooms are joined and spoken in. A member
 * that cannot say hello brings its token at the handshake, as a Bearer.
 */
#include "tokens.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "secret_file.h"
#include "tool.h"

static const char command[] = "serve";

/* By so much the clocks of two machines differ that are kept right. */
enum { LEEWAY_MS = 30000 };
#define EXPIRY_MAX_MS (INT64_C(30) * 24 * 3600 * 1000) /* wsock_ask_set_expiry_ms() */

struct tokens {
    wsock_jwt_key *key;
    const char *issuer, *audience;
};

/* ---- tokens ---- */

static int64_t calendar_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void drop_token(void *token)
{
    wsock_jwt_unref(token);
}

/* Refuses what does not hold. @return (owned) NULL when it was refused. */
static wsock_jwt *judge(const struct tokens *tokens, wsock_ask *ask, const char *text)
{
    const wsock_jwt_rules rules = {.size = sizeof rules,
                                   .audience = tokens->audience,
                                   .issuer = tokens->issuer,
                                   .leeway_ms = LEEWAY_MS};
    wsock_jwt *token = NULL;
    int why = 0, r = 0;

    if (text == NULL) {
        wsock_ask_refuse(ask, "unauthorized", "a token is needed", 0);
        return NULL;
    }
    r = wsock_jwt_verify(tokens->key, &token, &why, text, strlen(text), &rules);
    if (r == WSOCK_EACCESS)
        wsock_ask_refuse(ask, "unauthorized", wsock_jwt_error_text(why), 0);
    else if (r < 0)
        wsock_ask_refuse(ask, "failed", wsock_strerror(r), 1);
    return token;
}

/* It holds for the leeway longer, as it does when it is shown. */
static int set_expiry(wsock_ask *ask, const wsock_jwt *token)
{
    int64_t left_ms = wsock_jwt_expires_ms(token);

    if (left_ms == 0)
        return 0;
    left_ms += LEEWAY_MS - calendar_ms();
    if (left_ms > EXPIRY_MAX_MS)
        left_ms = EXPIRY_MAX_MS;
    return wsock_ask_set_expiry_ms(ask, left_ms > 1 ? left_ms : 1);
}

/* ---- hello and refresh ---- */

static int is_somebody_else(const wsock_conn *conn, const wsock_jwt *token)
{
    const char *now = wsock_conn_identity(conn);

    return *now != '\0' && strcmp(now, wsock_jwt_subject(token)) != 0;
}

static int take_hello(wsock_ask *ask, const wsock_jwt *token)
{
    const char *info = wsock_jwt_info(token);
    int r = set_expiry(ask, token);

    if (r == 0 && wsock_ask_kind(ask) == WSOCK_ASK_HELLO)
        r = wsock_ask_set_identity(ask, wsock_jwt_subject(token));
    if (r == 0 && wsock_ask_kind(ask) == WSOCK_ASK_HELLO && info != NULL)
        r = wsock_ask_set_info(ask, info, strlen(info));
    return r;
}

static void on_hello(wsock_ask *ask, void *user)
{
    wsock_conn *conn = wsock_ask_conn(ask);
    const char *text = wsock_ask_token(ask);
    wsock_jwt *token = NULL;
    int r;

    if (text == NULL)
        text = wsock_request_bearer_token(wsock_conn_request(conn));
    token = judge(user, ask, text);
    if (token == NULL)
        return;
    if (*wsock_jwt_subject(token) == '\0') {
        wsock_ask_refuse(ask, "unauthorized", "the token does not say who it is for", 0);
    } else if (is_somebody_else(conn, token)) {
        wsock_ask_refuse(ask, "unauthorized", "the token is somebody else's", 0);
    } else if ((r = take_hello(ask, token)) < 0) {
        wsock_ask_refuse(ask, "failed", wsock_strerror(r), 1);
    } else {
        wsock_conn_set_user(conn, token, drop_token);
        wsock_ask_accept(ask);
        return;
    }
    wsock_jwt_unref(token);
}

/* ---- join and publish ---- */

/* A join may bring a token of its own, which is about that room. */
static void join_by_token(const struct tokens *tokens, wsock_ask *ask)
{
    wsock_jwt *token = judge(tokens, ask, wsock_ask_token(ask));

    if (token == NULL)
        return;
    if (*wsock_jwt_subject(token) != '\0' && is_somebody_else(wsock_ask_conn(ask), token))
        wsock_ask_refuse(ask, "unauthorized", "the token is somebody else's", 0);
    else if (!wsock_jwt_allows(token, WSOCK_JWT_JOIN, wsock_ask_room(ask)))
        wsock_ask_refuse(ask, "forbidden", "the token is not for this room", 0);
    else
        wsock_ask_accept(ask);
    wsock_jwt_unref(token);
}

static void on_join(wsock_ask *ask, void *user)
{
    const wsock_jwt *token = wsock_conn_get_user(wsock_ask_conn(ask));

    if (wsock_jwt_allows(token, WSOCK_JWT_JOIN, wsock_ask_room(ask)))
        wsock_ask_accept(ask);
    else if (wsock_ask_token(ask) != NULL)
        join_by_token(user, ask);
    else
        wsock_ask_refuse(ask, "forbidden", "your token is not for this room", 0);
}

static void on_publish(wsock_ask *ask, void *user)
{
    const wsock_jwt *token = wsock_conn_get_user(wsock_ask_conn(ask));
    const int what = wsock_ask_kind(ask) == WSOCK_ASK_PUBLISH ? WSOCK_JWT_PUBLISH
                                                              : WSOCK_JWT_DIRECT;

    (void)user;
    if (wsock_jwt_allows(token, what, wsock_ask_room(ask)))
        wsock_ask_accept(ask);
    else
        wsock_ask_refuse(ask, "forbidden", "your token does not let you say that", 0);
}

const wsock_rooms_hooks tokens_hooks = {
    .size = sizeof tokens_hooks,
    .on_hello = on_hello,
    .on_join = on_join,
    .on_publish = on_publish,
};

/* ---- start and end ---- */

static int read_key(struct tokens *tokens, wsock_runtime *runtime, const char *flag,
                    const char *path, int algorithm)
{
    char *data = NULL;
    size_t len = 0;
    int status = secret_file_read(command, flag, path, &data, &len);
    int r = 0;

    if (status == 0)
        r = wsock_runtime_jwt_key(runtime, &tokens->key, algorithm, data, len);
    if (r < 0)
        status = fail(command, "%s: %s: %s", flag, path, wsock_runtime_error(runtime));
    secret_file_drop(data, len);
    return status;
}

int tokens_new(struct tokens **out, wsock_runtime *runtime,
               const struct tokens_config *config)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);

    if (tokens == NULL)
        return fail(command, "cannot set up: %s", wsock_strerror(WSOCK_ENOMEM));
    *out = tokens;
    tokens->issuer = config->issuer;
    tokens->audience = config->audience;
    if (config->secret_file != NULL)
        return read_key(tokens, runtime, "--jwt-secret", config->secret_file,
                        WSOCK_JWT_HS256);
    return read_key(tokens, runtime, "--jwt-key", config->key_file, WSOCK_JWT_RS256);
}

void tokens_free(struct tokens *tokens)
{
    if (tokens == NULL)
        return;
    wsock_jwt_key_unref(tokens->key);
    free(tokens);
}
