/* SPDX-License-Identifier: MIT */
/*
 * Members that a backend decides on. Every question becomes one JSON object, which is
 * what the backend is sent and also the name under which its answer is remembered, as
 * long as the answer says: who asks the same again means the same.
 *
 * A backend that is not there decides nothing: the question is refused, and may be asked
 * again later. Nobody comes in because something failed.
 */
#include "backend.h"

#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tool.h"

#define TTL_MAX_MS (INT64_C(24) * 3600 * 1000)

/* An answer that is remembered. */
struct kept {
    struct kept *older, *newer;
    char *question;
    char *answer; /* as it came: what is parsed belongs to one thread */
    size_t answer_len;
    int64_t until_ms;
    size_t size;
};

struct backend {
    const struct backend_config *config;
    struct backend_http *http;
    pthread_mutex_t lock; /* what follows */
    void *tree;           /* of struct kept, by question */
    struct kept *oldest, *newest;
    size_t kept_count, kept_bytes;
    int is_down; /* the last request failed, and that was told */
};

/* ---- what is remembered, with the lock held ---- */

static int compare_kept(const void *a, const void *b)
{
    const struct kept *x = a;
    const struct kept *y = b;

    return strcmp(x->question, y->question);
}

static void forget(struct backend *backend, struct kept *kept)
{
    *(kept->older != NULL ? &kept->older->newer : &backend->oldest) = kept->newer;
    *(kept->newer != NULL ? &kept->newer->older : &backend->newest) = kept->older;
    backend->kept_count--;
    backend->kept_bytes -= kept->size;
    tdelete(kept, &backend->tree, compare_kept);
    free(kept->answer);
    free(kept->question);
    free(kept);
}

static struct kept *find(struct backend *backend, char *question)
{
    const struct kept wanted = {.question = question};
    struct kept *const *found = tfind(&wanted, &backend->tree, compare_kept);

    return found != NULL ? *found : NULL;
}

/* @param question (consumed) @param answer (consumed) */
static void keep(struct backend *backend, char *question, char *answer, size_t answer_len,
                 int64_t ttl_ms)
{
    struct kept *kept = find(backend, question);

    if (kept != NULL)
        forget(backend, kept);
    kept = calloc(1, sizeof *kept);
    if (kept == NULL || (kept->question = question,
                         tsearch(kept, &backend->tree, compare_kept) == NULL)) {
        free(kept);
        free(answer);
        free(question);
        return;
    }
    kept->answer = answer;
    kept->answer_len = answer_len;
    kept->until_ms = now_ms() + ttl_ms;
    kept->size = strlen(question) + answer_len;
    kept->older = backend->newest;
    *(backend->newest != NULL ? &backend->newest->newer : &backend->oldest) = kept;
    backend->newest = kept;
    backend->kept_count++;
    backend->kept_bytes += kept->size;
    while (backend->kept_count > BACKEND_KEPT_MAX ||
           backend->kept_bytes > BACKEND_KEPT_BYTES_MAX)
        forget(backend, backend->oldest);
}

/* @return (owned, nullable) what is known already. Takes the lock. */
static json_t *recall(struct backend *backend, char *question)
{
    json_t *answer = NULL;
    struct kept *kept = NULL;

    pthread_mutex_lock(&backend->lock);
    kept = find(backend, question);
    if (kept != NULL && kept->until_ms <= now_ms())
        forget(backend, kept);
    else if (kept != NULL)
        answer = json_loadb(kept->answer, kept->answer_len, 0, NULL);
    pthread_mutex_unlock(&backend->lock);
    return answer;
}

/* ---- what an answer means ---- */

static int is_hello(const wsock_ask *ask)
{
    const int kind = wsock_ask_kind(ask);

    return kind == WSOCK_ASK_HELLO || kind == WSOCK_ASK_REFRESH;
}

static void refuse_as_told(wsock_ask *ask, const json_t *answer)
{
    const char *code = json_string_value(json_object_get(answer, "code"));
    const char *text = json_string_value(json_object_get(answer, "text"));
    const int retry = json_is_true(json_object_get(answer, "retry"));

    if (wsock_ask_refuse(ask, code != NULL ? code : "forbidden",
                         text != NULL ? text : "refused", retry) < 0)
        wsock_ask_refuse(ask, "forbidden", "refused", retry);
}

/* @return 0, or a negative code when the answer asks for what cannot be. */
static int take_identity(wsock_ask *ask, const json_t *identity)
{
    const char *text = json_string_value(identity);

    if (identity == NULL || !is_hello(ask))
        return 0;
    if (text == NULL)
        return WSOCK_EINVAL;
    if (wsock_ask_kind(ask) == WSOCK_ASK_HELLO)
        return wsock_ask_set_identity(ask, text);
    return strcmp(text, wsock_conn_identity(wsock_ask_conn(ask))) == 0 ? 0 : WSOCK_EEXIST;
}

static int take_info(wsock_ask *ask, const json_t *info)
{
    const int kind = wsock_ask_kind(ask);
    char *text = NULL;
    int r = 0;

    if (info == NULL || (kind != WSOCK_ASK_HELLO && kind != WSOCK_ASK_JOIN))
        return 0;
    text = json_dumps(info, JSON_COMPACT | JSON_ENCODE_ANY);
    r = text != NULL ? wsock_ask_set_info(ask, text, strlen(text)) : WSOCK_ENOMEM;
    free(text);
    return r;
}

static int take_expiry(wsock_ask *ask, const json_t *expiry)
{
    if (expiry == NULL || !is_hello(ask))
        return 0;
    return json_is_integer(expiry) && json_integer_value(expiry) > 0
               ? wsock_ask_set_expiry_ms(ask, json_integer_value(expiry))
               : WSOCK_EINVAL;
}

/* @return 0, or a negative code after a refusal. */
static int carry_out(wsock_ask *ask, const json_t *answer)
{
    int r = 0;

    if (!json_is_true(json_object_get(answer, "allow"))) {
        refuse_as_told(ask, answer);
        return 0;
    }
    r = take_identity(ask, json_object_get(answer, "identity"));
    if (r == 0)
        r = take_info(ask, json_object_get(answer, "info"));
    if (r == 0)
        r = take_expiry(ask, json_object_get(answer, "expires_ms"));
    if (r == 0 || r == WSOCK_ECLOSED)
        wsock_ask_accept(ask);
    else if (r == WSOCK_EEXIST)
        wsock_ask_refuse(ask, "unauthorized", "the token is somebody else's", 0);
    else
        wsock_ask_refuse(ask, "failed", wsock_strerror(r), 1);
    return r == WSOCK_ECLOSED || r == WSOCK_EEXIST ? 0 : r;
}

/* ---- what came ---- */

static void tell_down(struct backend *backend, long status, const char *why)
{
    pthread_mutex_lock(&backend->lock);
    if (!backend->is_down && status != 0)
        tell("wsock serve: the backend answers with %ld: %s", status, why);
    else if (!backend->is_down)
        tell("wsock serve: no answer of the backend: %s", why);
    backend->is_down = 1;
    pthread_mutex_unlock(&backend->lock);
}

static void tell_up(struct backend *backend)
{
    pthread_mutex_lock(&backend->lock);
    if (backend->is_down)
        tell("wsock serve: the backend answers again");
    backend->is_down = 0;
    pthread_mutex_unlock(&backend->lock);
}

/* @return (owned) NULL for what is no answer. */
static json_t *parse(const struct backend_job *job)
{
    json_t *answer = NULL;

    if (job->answer != NULL)
        answer = json_loadb(job->answer, job->answer_len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(answer) && json_is_boolean(json_object_get(answer, "allow")))
        return answer;
    json_decref(answer);
    return NULL;
}

static void job_free(struct backend_job *job)
{
    wsock_ask_unref(job->ask);
    free(job->answer);
    free(job->body);
    free(job);
}

/* With the lock held. @return as carry_out(). */
static int carry_out_and_keep(struct backend *backend, struct backend_job *job,
                              const json_t *answer)
{
    const json_int_t ttl_ms = json_integer_value(json_object_get(answer, "ttl_ms"));
    const int r = carry_out(job->ask, answer);

    if (r < 0 || ttl_ms <= 0)
        return r;
    keep(backend, job->body, job->answer, job->answer_len,
         ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS);
    job->body = NULL;
    job->answer = NULL;
    return r;
}

/* Who hears the answer and asks the same again finds it remembered: both are done under
 * one lock. What is carried out goes on elsewhere, and not in here. */
static void take(struct backend *backend, struct backend_job *job, const json_t *answer)
{
    int r;

    pthread_mutex_lock(&backend->lock);
    r = carry_out_and_keep(backend, job, answer);
    pthread_mutex_unlock(&backend->lock);
    if (r < 0)
        tell_down(backend, 200, "it says what cannot be: identity, info or expires_ms");
    else
        tell_up(backend);
}

static void on_done(struct backend *backend, struct backend_job *job, long status,
                    const char *why)
{
    json_t *answer = status == 200 ? parse(job) : NULL;

    if (answer != NULL) {
        take(backend, job, answer);
    } else {
        tell_down(backend, status,
                  why != NULL     ? why
                  : status == 200 ? "no JSON object with allow"
                                  : "only 200 is an answer");
        wsock_ask_refuse(job->ask, "unavailable", "who decides cannot be reached", 1);
    }
    json_decref(answer);
    job_free(job);
}

/* ---- what is asked ---- */

static json_t *headers_of(const struct backend *backend, const wsock_request *request)
{
    static const char *const usual[] = {"Authorization", "Cookie", "Origin"};
    const size_t usual_count = sizeof usual / sizeof usual[0];
    json_t *headers = json_object();

    for (size_t i = 0; i < usual_count + backend->config->header_count; i++) {
        const char *name = i < usual_count ? usual[i]
                                           : backend->config->headers[i - usual_count];
        const char *value = wsock_request_header(request, name);

        /* One that is no UTF-8 cannot be told. */
        if (value != NULL)
            json_object_set_new(headers, name, json_string(value));
    }
    return headers;
}

/* Without the port: another connection of the same client asks the same. */
static json_t *address_of(const wsock_request *request)
{
    const char *address = wsock_request_remote_address(request);
    const char *colon = strrchr(address, ':');
    const int is_bare = colon == NULL || colon[1] == '\0' || strchr(colon, ']') != NULL;

    return json_stringn(address, is_bare ? strlen(address) : (size_t)(colon - address));
}

static const char *kind_of(const wsock_ask *ask)
{
    switch (wsock_ask_kind(ask)) {
    case WSOCK_ASK_HELLO:
        return "hello";
    case WSOCK_ASK_REFRESH:
        return "refresh";
    case WSOCK_ASK_JOIN:
        return "join";
    case WSOCK_ASK_PUBLISH:
        return "publish";
    case WSOCK_ASK_DIRECT:
        return "direct";
    default:
        return NULL;
    }
}

static const char *unless_empty(const char *text)
{
    return text != NULL && *text != '\0' ? text : NULL;
}

/* @return (owned, nullable) */
static char *question_of(const struct backend *backend, const wsock_ask *ask)
{
    wsock_conn *conn = wsock_ask_conn(ask);
    const wsock_request *request = wsock_conn_request(conn);
    json_t *root = json_pack(
        "{s:s, s:s*, s:s*, s:s*, s:s*, s:o, s:o}", "kind", kind_of(ask), "token",
        wsock_ask_token(ask), "identity", unless_empty(wsock_conn_identity(conn)), "name",
        wsock_ask_name(ask), "room", unless_empty(wsock_ask_room(ask)), "address",
        address_of(request), "headers", headers_of(backend, request));
    char *text = json_dumps(root, JSON_COMPACT);

    json_decref(root);
    return text;
}

/* @param question (consumed) */
static void ask_backend(struct backend *backend, wsock_ask *ask, char *question)
{
    struct backend_job *job = calloc(1, sizeof *job);

    if (job == NULL) {
        free(question);
        wsock_ask_refuse(ask, "failed", wsock_strerror(WSOCK_ENOMEM), 1);
        return;
    }
    *job = (struct backend_job){
        .ask = wsock_ask_ref(ask),
        .body = question,
        .deadline_ms = now_ms() + backend->config->timeout_ms,
    };
    if (backend_http_ask(backend->http, job) < 0) {
        wsock_ask_refuse(ask, "unavailable", "too many wait for an answer", 1);
        job_free(job);
    }
}

static void on_ask(wsock_ask *ask, void *user)
{
    struct backend *backend = user;
    char *question = NULL;
    json_t *answer = NULL;

    if (kind_of(ask) == NULL) {
        wsock_ask_refuse(ask, "forbidden", "refused", 0);
        return;
    }
    question = question_of(backend, ask);
    if (question == NULL) {
        wsock_ask_refuse(ask, "failed", wsock_strerror(WSOCK_ENOMEM), 1);
        return;
    }
    answer = recall(backend, question);
    if (answer == NULL) {
        ask_backend(backend, ask, question);
        return;
    }
    carry_out(ask, answer);
    json_decref(answer);
    free(question);
}

const wsock_rooms_hooks backend_hooks = {
    .size = sizeof backend_hooks,
    .on_hello = on_ask,
    .on_join = on_ask,
    .on_publish = on_ask,
};

/* ---- start and end ---- */

int backend_new(struct backend **out, const struct backend_config *config)
{
    struct backend *backend = calloc(1, sizeof *backend);

    if (backend == NULL)
        return fail("serve", "--auth-url: %s", wsock_strerror(WSOCK_ENOMEM));
    *out = backend;
    backend->config = config;
    pthread_mutex_init(&backend->lock, NULL);
    return backend_http_start(&backend->http, backend, config->url, on_done);
}

void backend_stop(struct backend *backend)
{
    if (backend == NULL || backend->http == NULL)
        return;
    pthread_mutex_lock(&backend->lock);
    backend->is_down = 1; /* it is nobody's fault: say nothing */
    pthread_mutex_unlock(&backend->lock);
    backend_http_stop(backend->http);
}

void backend_free(struct backend *backend)
{
    if (backend == NULL)
        return;
    if (backend->http != NULL)
        backend_http_free(backend->http);
    while (backend->oldest != NULL)
        forget(backend, backend->oldest);
    pthread_mutex_destroy(&backend->lock);
    free(backend);
}
