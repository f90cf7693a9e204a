/* SPDX-License-Identifier: MIT */
/*
 * `wsock bench`: keeps `depth` messages under way on each of N connections and measures
 * what comes back. Every handler works on memory of its own thread or connection; the
 * main thread only opens, starts, watches and reports.
 *
 *     OPENING --all open--> RUNNING --seconds over, signal--> DRAINING --> ENDING
 *
 * In DRAINING nothing new is sent, and what is still under way has time to come back:
 * what has not when nothing came for DRAIN_MS is an error, also if closing brings it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "histogram.h"
#include "tool.h"

static const char command[] = "bench";

#define OPENING_MAX 128  /* connections in their handshake at a time */
#define DRAIN_MS    3000 /* without progress, until the missing is given up */
#define CLOSE_MS    2000
#define TICK_MS     50
#define PROGRESS_MS 500
#define STAMP_MASK  ((UINT64_C(1) << (6 * STAMP_LETTERS)) - 1)

enum phase { OPENING, RUNNING, DRAINING, ENDING };

/* Messages: sent, answered while RUNNING, answered in all. */
enum counter { SENT, CAME, TOTAL, COUNTERS };

/* What one thread counted. Only it writes; the main thread reads meanwhile. */
struct tally {
    struct tally *next;
    atomic_uint_fast64_t counts[COUNTERS];
    struct histogram latency; /* nanoseconds; read once the threads have ended */
};

/* One connection. From its start on only its own handlers touch it. */
struct lane {
    struct bench *bench;
    wsock_conn *conn;
    uint64_t *stamps; /* of an echo: when what is under way was sent, as a ring */
    uint32_t index;
    uint32_t oldest;
    uint32_t under_way;
    uint32_t owed; /* sends that met EAGAIN */
    char *payload; /* fan-out: its own; else everybody's */
};

struct bench {
    struct plan plan;
    wsock_runtime *runtime;
    wsock_client *client;
    struct lane *lanes;
    char *payload;
    int64_t started_ms;
    int64_t stopped_ms;
    uint64_t missing; /* answers, once drained: closing may still bring some */
    atomic_int phase;
    atomic_uint_fast64_t bad; /* answers that are not what was sent, sends that failed */
    pthread_mutex_t lock;     /* of what follows */
    pthread_cond_t changed;
    size_t opened;
    size_t ended;
    size_t lost; /* connections that did not open, or ended before we closed them */
    struct tally *tallies;
    char first_error[512];
    char extensions[160]; /* of the first that opened */
    int64_t compressed_from;
};

static volatile sig_atomic_t is_interrupted;
static _Thread_local struct tally *own_tally;

static void on_signal(int number)
{
    (void)number;
    if (is_interrupted)
        _exit(EXIT_INTERRUPTED);
    is_interrupted = 1;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- errors and counts ---- */

static void note_error(struct bench *b, const char *text)
{
    pthread_mutex_lock(&b->lock);
    if (b->first_error[0] == '\0')
        snprintf(b->first_error, sizeof b->first_error, "%s", text);
    pthread_mutex_unlock(&b->lock);
}

static void count_bad(struct bench *b, const char *text)
{
    note_error(b, text);
    atomic_fetch_add(&b->bad, 1);
}

/* The tally of this thread, made when it first counts; NULL without memory. */
static struct tally *tally_of(struct bench *b)
{
    if (own_tally != NULL)
        return own_tally;
    own_tally = calloc(1, sizeof *own_tally);
    if (own_tally == NULL) {
        count_bad(b, "out of memory");
        return NULL;
    }
    pthread_mutex_lock(&b->lock);
    own_tally->next = b->tallies;
    b->tallies = own_tally;
    pthread_mutex_unlock(&b->lock);
    return own_tally;
}

/* One writer, so that no locked instruction is needed. */
static void count_one(struct tally *tally, enum counter counter)
{
    atomic_uint_fast64_t *count = &tally->counts[counter];

    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void put_letters(char *out, uint64_t value, int letters)
{
    for (int i = 0; i < letters; i++, value >>= 6)
        out[i] = (char)('0' + (value & 63));
}

static uint64_t get_letters(const char *in, int letters)
{
    uint64_t value = 0;

    for (int i = letters - 1; i >= 0; i--)
        value = value << 6 | (((unsigned char)in[i] - (unsigned)'0') & 63);
    return value;
}

/* ---- handlers ---- */

static int phase_of(struct bench *b)
{
    return atomic_load_explicit(&b->phase, memory_order_relaxed);
}

static void send_one(struct lane *lane)
{
    struct bench *b = lane->bench;
    struct tally *tally = tally_of(b);
    const uint32_t depth = (uint32_t)b->plan.depth;
    const uint64_t now = now_ns();
    uint32_t slot = lane->oldest + lane->under_way;
    int r = 0;

    if (tally == NULL)
        return;
    if (b->plan.is_fanout)
        put_letters(lane->payload, now, STAMP_LETTERS);
    slot -= slot >= depth ? depth : 0;
    lane->stamps[slot] = now;
    r = wsock_conn_send(lane->conn, b->plan.type, lane->payload,
                        (size_t)b->plan.payload_bytes);
    if (r == 0) {
        lane->under_way++;
        count_one(tally, SENT);
    } else if (r == WSOCK_EAGAIN) {
        lane->owed++;
    } else if (r != WSOCK_ECLOSED) { /* of that on_close tells */
        count_bad(b, wsock_strerror(r));
    }
}

/* Runs on the connection's worker. */
static void start_lane(wsock_conn *conn, void *user)
{
    struct lane *lane = user;

    (void)conn;
    for (int64_t i = 0; i < lane->bench->plan.depth; i++)
        send_one(lane);
}

static void on_drain(wsock_conn *conn, void *user)
{
    struct lane *lane = wsock_conn_get_user(conn);
    uint32_t owed = lane != NULL ? lane->owed : 0;

    (void)user;
    for (; owed > 0 && phase_of(lane->bench) == RUNNING; owed--) {
        lane->owed--;
        send_one(lane);
    }
}

/* When the message that came was sent. An echo is the oldest under way; a message of a
 * fan-out says it itself. @return 0 for what is no answer. */
static int take_answer(struct lane *lane, const char *data, size_t len, uint64_t *stamp,
                       int *is_own)
{
    const struct plan *plan = &lane->bench->plan;

    if (len != (size_t)plan->payload_bytes)
        return 0;
    if (plan->is_fanout) {
        *stamp = get_letters(data, STAMP_LETTERS);
        *is_own = get_letters(data + STAMP_LETTERS, SENDER_LETTERS) == lane->index;
    } else {
        *stamp = lane->stamps[lane->oldest];
        *is_own = 1;
    }
    if (*is_own && lane->under_way == 0)
        return 0;
    return plan->is_fanout || memcmp(data, lane->payload, len) == 0;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct bench *b = user;
    struct lane *lane = wsock_conn_get_user(conn);
    struct tally *tally = tally_of(b);
    const int phase = phase_of(b);
    uint64_t stamp = 0;
    int is_own = 0;

    if (tally == NULL)
        return;
    if (lane == NULL || type != b->plan.type ||
        !take_answer(lane, data, len, &stamp, &is_own)) {
        count_bad(b, "a message came that is not what was sent");
        return;
    }
    count_one(tally, TOTAL);
    if (phase == RUNNING) {
        count_one(tally, CAME);
        histogram_add(&tally->latency, (now_ns() - stamp) & STAMP_MASK);
    }
    if (!is_own)
        return;
    lane->oldest = lane->oldest + 1 == (uint32_t)b->plan.depth ? 0 : lane->oldest + 1;
    lane->under_way--;
    if (phase == RUNNING)
        send_one(lane);
}

static void on_open(wsock_conn *conn, void *user)
{
    struct bench *b = user;

    pthread_mutex_lock(&b->lock);
    if (b->opened++ == 0)
        wsock_conn_extensions(conn, b->extensions, sizeof b->extensions);
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void note_end(struct bench *b, const wsock_conn *conn,
                     const wsock_close_info *info)
{
    const char *detail = info->detail[0] != '\0' ? info->detail
                                                 : wsock_cause_text(info->cause);
    const char *hint = way_hint(conn, info);
    char text[sizeof b->first_error];

    if (info->code == 1009 && info->began == WSOCK_BY_PEER)
        snprintf(text, sizeof text,
                 "%s (--payload %lld is more than the server takes; wsock serve takes "
                 "more with --set max_message_bytes=...)",
                 detail, (long long)b->plan.payload_bytes);
    else
        snprintf(text, sizeof text, "%s%s%s", detail, hint != NULL ? "; " : "",
                 hint != NULL ? hint : "");
    note_error(b, text);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct bench *b = user;

    if (phase_of(b) != ENDING)
        note_end(b, conn, info);
    pthread_mutex_lock(&b->lock);
    b->ended++;
    if (phase_of(b) != ENDING)
        b->lost++;
    if (!info->opened)
        b->opened++; /* it is not opening any more */
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* ---- the run, on the main thread ---- */

/* Wait until something opened or ended, or for a tick. Called with the lock held. */
static void wait_change(struct bench *b)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&b->changed, &b->lock, &until);
}

/* Wait until no more than `pending` of `begun` connections are still opening. */
static void wait_opened(struct bench *b, size_t begun, size_t pending)
{
    pthread_mutex_lock(&b->lock);
    while (!is_interrupted && begun - b->opened > pending)
        wait_change(b);
    pthread_mutex_unlock(&b->lock);
}

static int open_all(struct bench *b)
{
    const size_t count = (size_t)b->plan.connections;
    int r = 0;

    for (size_t i = 0; r == 0 && i < count && !is_interrupted; i++) {
        struct lane *lane = &b->lanes[i];

        r = wsock_client_connect(b->client, &lane->conn);
        if (r == 0)
            r = wsock_conn_set_user(lane->conn, lane, NULL);
        wait_opened(b, i + 1, OPENING_MAX);
    }
    if (r < 0)
        fail(command, "cannot connect: %s", wsock_client_error(b->client));
    if (r == WSOCK_ETLS || r == WSOCK_ENOTSUP)
        return EXIT_TLS;
    if (r < 0)
        return EXIT_FAILED;
    if (!is_interrupted)
        wait_opened(b, count, 0);
    return 0;
}

static uint64_t sum(struct bench *b, enum counter counter)
{
    uint64_t total = 0;

    pthread_mutex_lock(&b->lock);
    for (struct tally *t = b->tallies; t != NULL; t = t->next)
        total += atomic_load_explicit(&t->counts[counter], memory_order_relaxed);
    pthread_mutex_unlock(&b->lock);
    return total;
}

static void sleep_tick(void)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};

    nanosleep(&tick, NULL);
}

static void show_progress(struct bench *b, int64_t *shown_ms, uint64_t *shown_count)
{
    const int64_t now = now_ms();
    uint64_t came = 0;

    if (now - *shown_ms < PROGRESS_MS)
        return;
    came = sum(b, CAME);
    fprintf(stderr, "\r\033[K%5.1f s  %12.0f messages/s",
            (double)(now - b->started_ms) / 1000,
            (double)(came - *shown_count) * 1000 / (double)(now - *shown_ms));
    fflush(stderr);
    *shown_ms = now;
    *shown_count = came;
}

static int all_ended(struct bench *b)
{
    size_t ended = 0;

    pthread_mutex_lock(&b->lock);
    ended = b->ended;
    pthread_mutex_unlock(&b->lock);
    return ended >= (size_t)b->plan.connections;
}

static void run_load(struct bench *b)
{
    const int shows = isatty(STDERR_FILENO);
    int64_t shown_ms = now_ms();
    uint64_t shown_count = 0;

    b->started_ms = now_ms();
    atomic_store(&b->phase, RUNNING);
    for (int64_t i = 0; i < b->plan.connections; i++)
        wsock_conn_post(b->lanes[i].conn, start_lane, &b->lanes[i], NULL);
    while (!is_interrupted && now_ms() - b->started_ms < b->plan.duration_ms &&
           !all_ended(b)) {
        sleep_tick();
        if (shows)
            show_progress(b, &shown_ms, &shown_count);
    }
    atomic_store(&b->phase, DRAINING);
    b->stopped_ms = now_ms();
    if (shows)
        fputs("\r\033[K", stderr);
}

/* How many answers have not come yet. */
static uint64_t outstanding(struct bench *b)
{
    const uint64_t copies = b->plan.is_fanout ? (uint64_t)b->plan.connections : 1;
    const uint64_t total = sum(b, TOTAL);
    const uint64_t wanted = sum(b, SENT) * copies;

    return wanted > total ? wanted - total : 0;
}

/* Let what is under way come back. Twice none missing, because a handler that saw RUNNING
 * may just be sending. */
static void drain(struct bench *b)
{
    int64_t progress_ms = now_ms();
    uint64_t last = UINT64_MAX;
    int times_none = 0;

    while (times_none < 2 && !all_ended(b) && now_ms() - progress_ms < DRAIN_MS) {
        const uint64_t left = outstanding(b);

        times_none = left == 0 ? times_none + 1 : 0;
        if (left < last)
            progress_ms = now_ms();
        last = left;
        sleep_tick();
    }
    b->missing = outstanding(b);
}

static void close_all(struct bench *b)
{
    const int64_t until_ms = now_ms() + CLOSE_MS;
    size_t begun = 0;

    atomic_store(&b->phase, ENDING);
    for (int64_t i = 0; i < b->plan.connections && b->lanes[i].conn != NULL; i++, begun++)
        wsock_conn_close(b->lanes[i].conn, 1000, NULL);
    pthread_mutex_lock(&b->lock);
    while (b->ended < begun && now_ms() < until_ms)
        wait_change(b);
    pthread_mutex_unlock(&b->lock);
}

/* ---- report ---- */

/* Once the threads have ended. */
static int report(struct bench *b)
{
    struct result *r = calloc(1, sizeof *r);
    int status = EXIT_OK;

    if (r == NULL)
        return fail(command, "out of memory");
    for (const struct tally *t = b->tallies; t != NULL; t = t->next)
        histogram_merge(&r->latency, &t->latency);
    r->sent = sum(b, SENT);
    r->came = sum(b, CAME);
    r->missing = b->missing;
    r->wrong = b->bad;
    r->lost = b->lost;
    r->seconds = (double)(b->stopped_ms - b->started_ms) / 1000;
    r->seconds = r->seconds > 0 ? r->seconds : 0.001;
    r->is_interrupted = is_interrupted;
    r->first_error = b->first_error;
    r->extensions = b->extensions;
    r->compressed_from = b->compressed_from;
    if (bench_report(&b->plan, r) < 0 || r->lost + r->wrong + r->missing > 0)
        status = EXIT_FAILED;
    free(r);
    return status;
}

/* ---- setup ---- */

static int setup_lanes(struct bench *b)
{
    const size_t count = (size_t)b->plan.connections;
    const size_t bytes = (size_t)b->plan.payload_bytes;

    b->lanes = calloc(count, sizeof *b->lanes);
    b->payload = malloc(bytes + 1);
    if (b->lanes == NULL || b->payload == NULL)
        return fail(command, "out of memory");
    bench_fill(b->payload, bytes);
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = &b->lanes[i];

        lane->bench = b;
        lane->index = (uint32_t)i;
        lane->payload = b->payload;
        lane->stamps = calloc((size_t)b->plan.depth, sizeof *lane->stamps);
        if (b->plan.is_fanout)
            lane->payload = malloc(bytes + 1);
        if (lane->stamps == NULL || lane->payload == NULL)
            return fail(command, "out of memory");
        if (b->plan.is_fanout) {
            memcpy(lane->payload, b->payload, bytes);
            put_letters(lane->payload + STAMP_LETTERS, i, SENDER_LETTERS);
        }
    }
    return 0;
}

static int add_headers(struct bench *b)
{
    for (size_t i = 0; i < b->plan.header_count; i++) {
        const int status = client_add_header(command, b->client, b->plan.headers[i]);

        if (status != 0)
            return status;
    }
    for (size_t i = 0; i < b->plan.subprotocol_count; i++) {
        const int r = wsock_client_add_subprotocol(b->client, b->plan.subprotocols[i]);

        if (r < 0)
            return usage_error(command, "--subprotocol \"%s\": %s",
                               b->plan.subprotocols[i], wsock_strerror(r));
    }
    return 0;
}

/* What is sent has to be taken when it comes back. */
static int fit_limit(struct bench *b)
{
    int64_t limit = 0;
    int r = wsock_client_get_int64(b->client, "max_message_bytes", &limit);

    if (r == 0 && limit < b->plan.payload_bytes)
        r = wsock_client_set_int64(b->client, "max_message_bytes", b->plan.payload_bytes);
    return r;
}

static int setup_client(struct bench *b)
{
    int status = 0;
    int r = wsock_runtime_client(b->runtime, &b->client, b->plan.url);

    if (r < 0)
        return client_refuse_url(command, b->runtime, r, b->plan.url);
    r = fit_limit(b);
    if (r == 0)
        status = way_set(command, &b->plan.way, b->client);
    for (size_t i = 0; r == 0 && status == 0 && i < b->plan.set_count; i++)
        status = set_option(command, bench_rules, b->runtime, NULL, b->client,
                            b->plan.sets[i]);
    if (status == 0)
        status = add_headers(b);
    if (status != 0)
        return status;
    if (r == 0)
        r = wsock_client_get_int64(b->client, "compression_min_bytes",
                                   &b->compressed_from);
    if (r == 0)
        r = wsock_client_on_open(b->client, on_open, b, NULL);
    if (r == 0)
        r = wsock_client_on_message(b->client, on_message, b, NULL);
    if (r == 0)
        r = wsock_client_on_drain(b->client, on_drain, b, NULL);
    if (r == 0)
        r = wsock_client_on_close(b->client, on_close, b, NULL);
    return r < 0 ? fail(command, "cannot start: %s", wsock_strerror(r)) : 0;
}

/* One descriptor a connection and some to spare. */
static int raise_files(int64_t connections)
{
    const rlim_t wanted = (rlim_t)connections + 64;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return 0;
    if (limit.rlim_max < wanted)
        return usage_error(command,
                           "--connections %lld: only %llu files may be open "
                           "(ulimit -Hn)",
                           (long long)connections, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? fail(command, "cannot raise ulimit -n")
                                                : 0;
}

static int setup(struct bench *b)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_condattr_t attributes;
    int status = raise_files(b->plan.connections);
    int r = 0;

    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (status != 0)
        return status;
    r = wsock_runtime_new(&b->runtime);
    if (r == 0)
        r = wsock_runtime_set_int64(b->runtime, "workers", b->plan.workers);
    if (r < 0)
        return fail(command, "cannot start: %s", wsock_strerror(r));
    status = setup_client(b);
    return status == 0 ? setup_lanes(b) : status;
}

static void release(struct bench *b)
{
    for (int64_t i = 0; b->lanes != NULL && i < b->plan.connections; i++) {
        wsock_conn_unref(b->lanes[i].conn);
        free(b->lanes[i].stamps);
        if (b->lanes[i].payload != b->payload)
            free(b->lanes[i].payload);
    }
    while (b->tallies != NULL) {
        struct tally *tally = b->tallies;

        b->tallies = tally->next;
        free(tally);
    }
    wsock_client_unref(b->client);
    free(b->lanes);
    free(b->payload);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
}

static int run(struct bench *b)
{
    int status = setup(b);

    if (status == 0)
        status = open_all(b);
    if (status == 0 && !is_interrupted) {
        run_load(b);
        drain(b);
    }
    if (status == 0)
        close_all(b);
    wsock_runtime_free(b->runtime);
    if (status == 0)
        status = report(b);
    release(b);
    return status;
}

int bench_main(int argc, char **argv)
{
    struct bench b = {
        .plan =
            {
                .connections = 50,
                .payload_bytes = 32,
                .depth = 1,
                .duration_ms = 5000,
                .workers = 1,
                .type = WSOCK_BINARY,
            },
    };
    const int status = bench_arguments(&b.plan, argc, argv);

    return status >= 0 ? status : run(&b);
}
