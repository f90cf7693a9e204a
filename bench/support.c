/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The example of RFC 6455 section 1.3: a fixed key needs no SHA-1 here. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

void die_errno(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

void *must_alloc(size_t count, size_t size)
{
    void *block = calloc(count, size);

    if (block == NULL)
        die("out of memory");
    return block;
}

int64_t clock_ns(clockid_t id)
{
    struct timespec t;

    if (clock_gettime(id, &t) < 0)
        die_errno("clock");
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

struct clocks read_clocks(pid_t server_pid)
{
    struct clocks c = {0};
    clockid_t id;

    if (server_pid != 0) {
        if (clock_getcpuclockid(server_pid, &id) != 0)
            die("no such server process");
        c.server = clock_ns(id);
    }
    c.own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    c.wall = clock_ns(CLOCK_MONOTONIC);
    return c;
}

/* Runs */

void generator_init(struct generator *g,
                    void (*begin)(struct generator *g, size_t rounds),
                    void (*turn)(struct generator *g), const struct run_options *options)
{
    *g = (struct generator){.begin = begin, .turn = turn, .options = options};
    raise_fd_limit();
}

static struct sample take_sample(const struct generator *g)
{
    struct sample s = {read_clocks(g->options->pid), g->done, g->extra, g->idle};

    if (g->idle_since != 0)
        s.idle += s.clocks.own - g->idle_since;
    return s;
}

void finish_all(struct generator *g)
{
    while (g->active > 0)
        g->turn(g);
}

static void turn_until(struct generator *g, int64_t deadline)
{
    while (clock_ns(CLOCK_MONOTONIC) < deadline)
        g->turn(g);
}

void run_by_time(struct generator *g, struct sample *from, struct sample *to)
{
    g->begin(g, SIZE_MAX);
    turn_until(g, clock_ns(CLOCK_MONOTONIC) + (int64_t)(g->options->warmup * NS_PER_S));
    *from = take_sample(g);
    turn_until(g, from->clocks.wall + (int64_t)(g->options->seconds * NS_PER_S));
    *to = take_sample(g);
    g->begin(g, 0);
    finish_all(g);
}

void run_by_count(struct generator *g, size_t rounds, struct sample *from,
                  struct sample *to)
{
    *from = take_sample(g);
    g->begin(g, rounds);
    finish_all(g);
    *to = take_sample(g);
}

struct sample_rates between(const struct sample *from, const struct sample *to)
{
    const int64_t idle = to->idle - from->idle;

    return (struct sample_rates){
        .seconds = (double)(to->clocks.wall - from->clocks.wall) / NS_PER_S,
        .own = (double)(to->clocks.own - from->clocks.own - idle) / NS_PER_S,
        .server = (double)(to->clocks.server - from->clocks.server) / NS_PER_S,
        .done = (double)(to->done - from->done),
        .extra = (double)(to->extra - from->extra),
    };
}

/* Reports */

void print_cpu_json(const struct sample_rates *r, pid_t pid)
{
    printf("\"generator_cpu_seconds\": %.6f, \"server_cpu_seconds\": ", r->own);
    printf(pid != 0 ? "%.6f}\n" : "null}\n", r->server);
}

void print_cpu(const struct sample_rates *r, pid_t pid, const char *what)
{
    printf("generator CPU %.1f %%, %.0f ns a %s\n", 100 * r->own / r->seconds,
           r->own * 1e9 / r->done, what);
    if (pid != 0)
        printf("server CPU %.1f %%, %.0f ns a %s\n", 100 * r->server / r->seconds,
               r->server * 1e9 / r->done, what);
}

/* Command lines */

double number_or(const char *text, double otherwise)
{
    char *end;
    double value;

    if (text == NULL)
        return otherwise;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0) || value > 1e15)
        die("a number is malformed (--help lists the options)");
    return value;
}

const char *parse_options(const char **values, const struct option *table,
                          const char *usage, int argc, char **argv)
{
    int opt, at = 0;

    while ((opt = getopt_long(argc, argv, "", table, &at)) != -1) {
        if (opt != '?' && strcmp(table[at].name, "help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (opt == '?')
            break;
        values[opt] = optarg != NULL ? optarg : "";
    }
    if (opt != '?' && optind >= argc - 1)
        return argv[optind];
    fputs(usage, stderr);
    exit(2);
}

struct run_options run_options_of(const char *const *values, double seconds,
                                  double warmup)
{
    return (struct run_options){
        .seconds = number_or(values[RUN_SECONDS], seconds),
        .warmup = number_or(values[RUN_WARMUP], warmup),
        .pid = (pid_t)number_or(values[RUN_PID], 0),
        .json = values[RUN_JSON] != NULL,
    };
}

void parse_url(struct target *target, const char *url)
{
    unsigned port = 0;
    int used = 0;

    if (url == NULL)
        die("the URL is missing (--help lists the options)");
    target->tls = strncmp(url, "wss:", 4) == 0;
    if (sscanf(url, target->tls ? "wss://%63[0-9.]:%u%n" : "ws://%63[0-9.]:%u%n",
               target->host, &port, &used) != 2 ||
        port > 65535 || inet_pton(AF_INET, target->host, &target->addr.sin_addr) != 1 ||
        (url[used] != '/' && url[used] != '\0'))
        die("the URL must be ws[s]://ADDRESS:PORT/PATH with a numeric IPv4 address");
    target->addr.sin_family = AF_INET;
    target->addr.sin_port = htons((uint16_t)port);
    target->path = url[used] == '/' ? url + used : "/";
}

/* Opening */

size_t put_request(char *head, const struct target *target)
{
    int len = snprintf(head, RESPONSE_MAX,
                       "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                       "Sec-WebSocket-Version: 13\r\n%s\r\n",
                       target->path, target->host, (unsigned)ntohs(target->addr.sin_port),
                       target->extensions);

    if (len < 0 || len >= RESPONSE_MAX)
        die("the path is too long");
    return (size_t)len;
}

bool response_is_whole(const struct target *target, char *head, size_t len)
{
    head[len] = '\0';
    if (strstr(head, "\r\n\r\n") == NULL) {
        if (len == RESPONSE_MAX - 1)
            die("the response's head is too long");
        return false;
    }
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        die("the server refused the handshake");
    if (!target->raw && strstr(head, ": " ACCEPT "\r\n") == NULL)
        die("the server's accept key is wrong");
    return true;
}

/* Frames */

const unsigned char frame_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

size_t put_header(unsigned char *out, unsigned byte0, size_t len,
                  const unsigned char *key)
{
    unsigned char mask_bit = key != NULL ? 0x80 : 0;
    size_t at = 0;
    int length_bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

    out[at++] = (unsigned char)byte0;
    out[at++] = (unsigned char)(mask_bit | (length_bytes == 0   ? len
                                            : length_bytes == 2 ? 126
                                                                : 127));
    for (int i = length_bytes - 1; i >= 0; i--)
        out[at++] = (unsigned char)((uint64_t)len >> (8 * i));
    if (key != NULL) {
        memcpy(out + at, key, 4);
        at += 4;
    }
    return at;
}

void apply_mask(unsigned char *data, size_t len, const unsigned char key[4])
{
    for (size_t i = 0; i < len; i++)
        data[i] ^= key[i % 4];
}

size_t put_frame(unsigned char *out, unsigned byte0, const void *data, size_t len)
{
    const size_t header = put_header(out, byte0, len, frame_mask);

    memcpy(out + header, data, len);
    apply_mask(out + header, len, frame_mask);
    return header + len;
}

/* Descriptors */

void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void hold_idle(void)
{
    char sink[256];

    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, sink, sizeof sink) > 0)
        continue;
}

int must_epoll(void)
{
    const int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        die_errno("epoll_create1");
    return fd;
}

void must_watch(int epoll_fd, int fd, uint32_t events, void *user)
{
    struct epoll_event event = {.events = events, .data = {.ptr = user}};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die_errno("epoll_ctl");
}

int must_wait(int epoll_fd, struct epoll_event *events, int timeout_ms,
              const char *silence)
{
    const int count = epoll_wait(epoll_fd, events, EVENTS_MAX, timeout_ms);

    if (count == 0 && silence != NULL)
        die(silence);
    if (count < 0 && errno != EINTR)
        die_errno("epoll_wait");
    return count > 0 ? count : 0;
}
