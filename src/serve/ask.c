/* SPDX-License-Identifier: MIT */
/*
 * A question to the application, answered once.
 *
 *      ASKED ---- the hook returned, nobody has decided ----> AWAITED
 *        |                                                       |
 *        |  decided inside the hook                              |  decided
 *        v                                                       v
 *     DECIDED: who asked goes on                              DECIDED, and mail
 *
 * Who claims it decides, and nobody else: a thread of the application's, the last handle
 * that goes, the clock, or the connection's end.
 */
#include <string.h>

#include <wsock/error.h>
#include <wsock/member.h>

#include "conn/conn.h"
#include "conn/identity.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "serve/v1.h"

enum { CODE_MAX = 64, TEXT_MAX = 1024 };

#define EXPIRY_MAX_MS (INT64_C(30) * 24 * 3600 * 1000)

/* ---- its life ---- */

static void run_mail(struct wsi_mail *mail)
{
    struct wsock_ask *ask = WSI_CONTAINER_OF(mail, struct wsock_ask, mail);

    /* Where the queue was closed nobody is where the handlers run. */
    if (wsi_conn_queued(ask->conn) == NULL || wsi_queue_calls(ask->conn->owner->queue))
        wsi_v1_session_answered(ask->session, ask);
    wsi_v1_ask_unref(ask);
}

struct wsock_ask *wsi_v1_ask_new(struct wsi_v1_session *session, json_t *object)
{
    struct wsock_ask *ask = wsi_zalloc(sizeof *ask);

    if (ask == NULL) {
        json_decref(object);
        return NULL;
    }
    wsi_ref_init(&ask->ref);
    wsi_ref_init(&ask->handles);
    ask->session = session;
    ask->conn = wsock_conn_ref(session->conn);
    ask->object = object;
    ask->accepted = true;
    atomic_init(&ask->claimed, false);
    atomic_init(&ask->stage, WSI_V1_ASKED);
    ask->mail.run = run_mail;
    return ask;
}

void wsi_v1_ask_unref(struct wsock_ask *ask)
{
    if (ask == NULL || !wsi_ref_drop(&ask->ref))
        return;
    wsi_free(ask->data.owned);
    wsi_free(ask->identity);
    wsi_free(ask->info);
    wsi_free(ask->owned);
    json_decref(ask->object);
    wsi_v1_hooks_unref(ask->hooks);
    wsock_conn_unref(ask->conn);
    wsi_free(ask);
}

/* ---- deciding ---- */

bool wsi_v1_claim(struct wsock_ask *ask)
{
    return !atomic_exchange(&ask->claimed, true);
}

void wsi_v1_post(wsock_conn *conn, struct wsi_mail *mail)
{
    if (wsi_conn_queued(conn) != NULL)
        wsi_queue_call(conn->owner->queue, mail);
    else
        wsi_worker_post(conn->worker, mail);
}

/* By who claimed it; what was decided stands in it. */
static void decide(struct wsock_ask *ask)
{
    if (atomic_exchange(&ask->stage, WSI_V1_DECIDED) != WSI_V1_AWAITED)
        return;
    wsi_ref_take(&ask->ref);
    wsi_v1_post(ask->conn, &ask->mail);
}

void wsi_v1_refuse(struct wsock_ask *ask, const char *code, const char *text, bool retry)
{
    ask->accepted = false;
    ask->code = code;
    ask->text = text;
    ask->retry = retry;
}

static void drop_handle(struct wsock_ask *ask)
{
    if (!wsi_ref_drop(&ask->handles))
        return;
    if (wsi_v1_claim(ask)) {
        wsi_v1_refuse(ask, "failed", "nobody answered", true);
        decide(ask);
    }
    wsi_v1_ask_unref(ask);
}

static wsock_ask_fn fn_of(const struct wsock_ask *ask)
{
    const wsock_rooms_hooks *fn = &ask->hooks->fn;

    switch (ask->kind) {
    case WSI_V1_HELLO:
    case WSI_V1_REFRESH:
        return fn->on_hello;
    case WSI_V1_JOIN:
        return fn->on_join;
    case WSI_V1_PUBLISH:
    case WSI_V1_DIRECT:
        return fn->on_publish;
    case WSI_V1_CALL:
        return fn->on_call;
    default:
        return NULL;
    }
}

bool wsi_v1_consult(struct wsock_ask *ask)
{
    int stage = WSI_V1_ASKED;
    wsock_ask_fn fn;

    ask->hooks = wsi_v1_hooks_of(ask->session->v1);
    if (ask->hooks == NULL) { /* who was never asked has let nobody in */
        wsi_v1_refuse(ask, "failed", "rooms are not served here", true);
        return true;
    }
    fn = fn_of(ask);
    if (fn == NULL) {
        if (ask->kind == WSI_V1_CALL)
            wsi_v1_refuse(ask, "unknown_call", "there is nothing to call here", false);
        return true;
    }
    wsi_ref_take(&ask->ref); /* of the handles */
    fn(ask, ask->hooks->user);
    drop_handle(ask);
    return !atomic_compare_exchange_strong(&ask->stage, &stage, WSI_V1_AWAITED);
}

/* ---- the application's side: what it is about ---- */

wsock_ask *wsock_ask_ref(wsock_ask *ask)
{
    wsi_ref_take(&ask->handles);
    return ask;
}

void wsock_ask_unref(wsock_ask *ask)
{
    if (ask != NULL)
        drop_handle(ask);
}

int wsock_ask_kind(const wsock_ask *ask)
{
    return ask != NULL ? (int)ask->kind : WSOCK_EINVAL;
}

wsock_conn *wsock_ask_conn(const wsock_ask *ask)
{
    return ask != NULL ? ask->conn : NULL;
}

static bool is_about_a_room(const wsock_ask *ask)
{
    return ask->kind == WSI_V1_JOIN || ask->kind == WSI_V1_PUBLISH;
}

const char *wsock_ask_room(const wsock_ask *ask)
{
    return ask != NULL && is_about_a_room(ask) ? ask->room : "";
}

const char *wsock_ask_name(const wsock_ask *ask)
{
    return ask != NULL ? ask->name : NULL;
}

const char *wsock_ask_token(const wsock_ask *ask)
{
    return ask != NULL && ask->kind <= WSI_V1_JOIN ? ask->token : NULL;
}

const char *wsock_ask_event(const wsock_ask *ask)
{
    return ask != NULL ? ask->event : NULL;
}

const char *wsock_ask_key(const wsock_ask *ask)
{
    return ask != NULL ? ask->key : NULL;
}

int wsock_ask_data(const wsock_ask *ask, const void **data, size_t *len)
{
    if (ask == NULL || data == NULL || len == NULL)
        return WSOCK_EINVAL;
    *data = ask->data.data;
    *len = ask->data.len;
    return ask->data.type;
}

/* ---- what it changes ---- */

static int may_change(const wsock_ask *ask, bool is_kind)
{
    if (!is_kind)
        return WSOCK_EINVAL;
    return atomic_load(&ask->claimed) ? WSOCK_ECLOSED : 0;
}

/* A copy with a NUL behind it takes the place of what was there. */
static int put(char **at, const void *data, size_t len)
{
    char *copy = wsi_alloc(len + 1);

    if (copy == NULL)
        return WSOCK_ENOMEM;
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    wsi_free(*at);
    *at = copy;
    return 0;
}

/* As others get it. */
static bool is_json(const void *data, size_t len)
{
    return wsi_utf8_is_valid(data, len) && wsi_json_is_value(data, len);
}

int wsock_ask_set_identity(wsock_ask *ask, const char *identity)
{
    const char *before;
    int r;

    if (ask == NULL || identity == NULL || !wsi_identity_is_valid(identity))
        return WSOCK_EINVAL;
    r = may_change(ask, ask->kind == WSI_V1_HELLO || ask->kind == WSI_V1_REFRESH);
    before = wsock_conn_identity(ask->conn);
    if (r == 0 && *before != '\0' && strcmp(before, identity) != 0)
        r = WSOCK_EEXIST;
    return r == 0 ? put(&ask->identity, identity, strlen(identity)) : r;
}

int wsock_ask_set_info(wsock_ask *ask, const char *json, size_t len)
{
    int r;

    if (ask == NULL || (json != NULL && !is_json(json, len)))
        return WSOCK_EINVAL;
    r = may_change(ask, ask->kind == WSI_V1_HELLO || ask->kind == WSI_V1_JOIN);
    if (r == 0)
        r = put(&ask->info, json, json != NULL ? len : 0);
    if (r < 0)
        return r;
    ask->has_info = true;
    ask->info_len = json != NULL ? len : 0;
    return 0;
}

int wsock_ask_set_expiry_ms(wsock_ask *ask, int64_t expiry_ms)
{
    int r;

    if (ask == NULL)
        return WSOCK_EINVAL;
    r = may_change(ask, ask->kind == WSI_V1_HELLO || ask->kind == WSI_V1_REFRESH);
    if (r == 0 && (expiry_ms < 0 || expiry_ms > EXPIRY_MAX_MS))
        r = WSOCK_ERANGE;
    if (r == 0)
        ask->expiry_ms = expiry_ms;
    return r;
}

static int check_data(int type, const void *data, size_t len)
{
    if (data == NULL && len > 0)
        return WSOCK_EINVAL;
    switch (type) {
    case WSOCK_BINARY:
        return 0;
    case WSOCK_TEXT:
        return wsi_utf8_is_valid(data, len) ? 0 : WSOCK_EUTF8;
    case WSOCK_TEXT | WSOCK_JSON:
        return is_json(data, len) ? 0 : WSOCK_EINVAL;
    default:
        return WSOCK_EINVAL;
    }
}

int wsock_ask_set_data(wsock_ask *ask, int type, const void *data, size_t len)
{
    int r;

    if (ask == NULL)
        return WSOCK_EINVAL;
    r = check_data(type, data, len);
    if (r == 0)
        r = may_change(ask, ask->kind == WSI_V1_PUBLISH || ask->kind == WSI_V1_DIRECT);
    if (r == 0)
        r = put(&ask->data.owned, data, len);
    if (r < 0)
        return r;
    ask->data.type = type;
    ask->data.data = ask->data.owned;
    ask->data.len = len;
    return 0;
}

/* ---- how it answers ---- */

/* By who claimed it. @return 0; WSOCK_ECLOSED when nobody is there to hear it. */
static int settle(struct wsock_ask *ask)
{
    const int r = wsi_conn_takes_messages(ask->conn) ? 0 : WSOCK_ECLOSED;

    decide(ask);
    return r;
}

int wsock_ask_accept(wsock_ask *ask)
{
    if (ask == NULL)
        return WSOCK_EINVAL;
    return wsi_v1_claim(ask) ? settle(ask) : WSOCK_ECLOSED;
}

static bool is_code(const char *code)
{
    const size_t len = strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len > 0 && len <= CODE_MAX && code[len] == '\0';
}

static int check_refusal(const char *code, const char *text)
{
    if (code == NULL || !is_code(code))
        return WSOCK_EINVAL;
    if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX)
        return WSOCK_ETOOBIG;
    return wsi_utf8_is_valid(text, strlen(text)) ? 0 : WSOCK_EUTF8;
}

int wsock_ask_refuse(wsock_ask *ask, const char *code, const char *text, int retry)
{
    const char *why = text != NULL ? text : "refused";
    size_t code_size;
    char *owned;
    int r = check_refusal(code, why);

    if (ask == NULL)
        return WSOCK_EINVAL;
    if (r < 0)
        return r;
    code_size = strlen(code) + 1;
    owned = wsi_alloc(code_size + strlen(why) + 1);
    if (owned == NULL)
        return WSOCK_ENOMEM;
    memcpy(owned, code, code_size);
    memcpy(owned + code_size, why, strlen(why) + 1);
    if (!wsi_v1_claim(ask)) {
        wsi_free(owned);
        return WSOCK_ECLOSED;
    }
    ask->owned = owned;
    wsi_v1_refuse(ask, owned, owned + code_size, retry != 0);
    return settle(ask);
}

int wsock_ask_reply(wsock_ask *ask, const char *json, size_t len)
{
    char *owned = NULL;
    int r;

    if (ask == NULL || json == NULL || ask->kind != WSI_V1_CALL ||
        !wsi_v1_is_json(json, len))
        return WSOCK_EINVAL;
    r = put(&owned, json, len);
    if (r < 0)
        return r;
    if (!wsi_v1_claim(ask)) {
        wsi_free(owned);
        return WSOCK_ECLOSED;
    }
    ask->owned = owned;
    ask->owned_len = len;
    return settle(ask);
}
