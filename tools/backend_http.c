/* SPDX-License-Identifier: MIT */
/*
 * Requests to the backend. One thread has all of them under way, at most
 * BACKEND_ACTIVE_MAX; what waits for its turn is bounded too, and has its deadline from
 * the beginning: a slow backend makes members wait no longer than a dead one.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "backend.h"
#include "tool.h"

struct backend_http {
    struct backend *backend;
    backend_done_fn done;
    const char *url;
    CURLM *multi;
    struct curl_slist *headers;
    pthread_t thread;
    CURL *active[BACKEND_ACTIVE_MAX]; /* the thread's */
    size_t active_count;

    pthread_mutex_t lock; /* what follows */
    struct backend_job *first, **last;
    size_t waiting;
    int is_over;
};

/* ---- one request, on the thread ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *user)
{
    struct backend_job *job = user;
    const size_t len = size * count;
    char *more = NULL;

    if (len > BACKEND_ANSWER_MAX - job->answer_len)
        return 0; /* ends the request */
    more = realloc(job->answer, job->answer_len + len + 1);
    if (more == NULL)
        return 0;
    memcpy(more + job->answer_len, data, len);
    job->answer = more;
    job->answer_len += len;
    return len;
}

static void set_options(const struct backend_http *http, CURL *easy,
                        struct backend_job *job, int64_t left_ms)
{
    curl_easy_setopt(easy, CURLOPT_URL, http->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, job->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(job->body));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
}

static void start(struct backend_http *http, struct backend_job *job)
{
    const int64_t left_ms = job->deadline_ms - now_ms();
    CURL *easy = left_ms > 0 ? curl_easy_init() : NULL;

    if (easy == NULL) {
        http->done(http->backend, job, 0,
                   left_ms > 0 ? "out of memory" : "no turn in time");
        return;
    }
    set_options(http, easy, job, left_ms);
    if (curl_multi_add_handle(http->multi, easy) == CURLM_OK) {
        http->active[http->active_count++] = easy;
        return;
    }
    curl_easy_cleanup(easy);
    http->done(http->backend, job, 0, "out of memory");
}

static void end(struct backend_http *http, CURL *easy, const char *why)
{
    char *job = NULL;
    long status = 0;
    size_t i = 0;

    while (http->active[i] != easy)
        i++;
    http->active[i] = http->active[--http->active_count];
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &job);
    if (why == NULL)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(http->multi, easy);
    curl_easy_cleanup(easy);
    http->done(http->backend, (struct backend_job *)(void *)job, status, why);
}

/* ---- the thread ---- */

static struct backend_job *take_waiting(struct backend_http *http)
{
    struct backend_job *job = NULL;

    pthread_mutex_lock(&http->lock);
    if (http->first != NULL &&
        (http->active_count < BACKEND_ACTIVE_MAX || http->is_over)) {
        job = http->first;
        http->first = job->next;
        if (http->first == NULL)
            http->last = &http->first;
        http->waiting--;
    }
    pthread_mutex_unlock(&http->lock);
    return job;
}

static int is_over(struct backend_http *http)
{
    int over = 0;

    pthread_mutex_lock(&http->lock);
    over = http->is_over;
    pthread_mutex_unlock(&http->lock);
    return over;
}

/* Not where a question waits that has a turn now: nothing more may happen then. Those that
 * have none wait for the end of others, which began before and so are over before. */
static void wait_for_more(struct backend_http *http)
{
    int has_turn = 0;

    pthread_mutex_lock(&http->lock);
    has_turn = http->first != NULL && http->active_count < BACKEND_ACTIVE_MAX;
    pthread_mutex_unlock(&http->lock);
    if (!has_turn)
        curl_multi_poll(http->multi, NULL, 0, 60000, NULL);
}

static void *work(void *user)
{
    struct backend_http *http = user;
    struct backend_job *job = NULL;
    CURLMsg *message = NULL;
    int running = 0;
    int left = 0;

    while (!is_over(http)) {
        while ((job = take_waiting(http)) != NULL)
            start(http, job);
        curl_multi_perform(http->multi, &running);
        while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
            CURL *easy = message->easy_handle;
            const CURLcode result = message->data.result;

            if (message->msg == CURLMSG_DONE)
                end(http, easy, result == CURLE_OK ? NULL : curl_easy_strerror(result));
        }
        wait_for_more(http);
    }
    return NULL;
}

/* ---- from outside ---- */

void backend_http_free(struct backend_http *http)
{
    curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->headers);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

int backend_http_ask(struct backend_http *http, struct backend_job *job)
{
    int r = -1;

    pthread_mutex_lock(&http->lock);
    if (http->waiting < BACKEND_WAITING_MAX && !http->is_over) {
        job->next = NULL;
        *http->last = job;
        http->last = &job->next;
        http->waiting++;
        r = 0;
    }
    pthread_mutex_unlock(&http->lock);
    if (r == 0)
        curl_multi_wakeup(http->multi);
    return r;
}

static int check_url(const char *url)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    int is_good = parsed != NULL &&
                  curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                  curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

    curl_free(scheme);
    curl_url_cleanup(parsed);
    return is_good;
}

int backend_http_start(struct backend_http **out, struct backend *backend,
                       const char *url, backend_done_fn done)
{
    struct backend_http *http = NULL;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (!check_url(url))
        return usage_error("serve", "--auth-url takes http:// or https://, not \"%s\"",
                           url);
    http = calloc(1, sizeof *http);
    if (http == NULL)
        return fail("serve", "--auth-url: %s", wsock_strerror(WSOCK_ENOMEM));
    http->backend = backend;
    http->done = done;
    http->url = url;
    http->last = &http->first;
    pthread_mutex_init(&http->lock, NULL);
    http->headers = curl_slist_append(NULL, "Content-Type: application/json");
    http->multi = curl_multi_init();
    if (http->multi == NULL || http->headers == NULL ||
        pthread_create(&http->thread, NULL, work, http) != 0) {
        backend_http_free(http);
        return fail("serve", "--auth-url: cannot start a thread for it");
    }
    *out = http;
    return 0;
}

void backend_http_stop(struct backend_http *http)
{
    struct backend_job *job = NULL;

    pthread_mutex_lock(&http->lock);
    http->is_over = 1;
    pthread_mutex_unlock(&http->lock);
    curl_multi_wakeup(http->multi);
    pthread_join(http->thread, NULL);
    while (http->active_count > 0)
        end(http, http->active[0], "the server stops");
    while ((job = take_waiting(http)) != NULL)
        http->done(http->backend, job, 0, "the server stops");
}
