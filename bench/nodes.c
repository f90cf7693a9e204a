/* SPDX-License-Identifier: MIT */
/*
 * A room over several nodes: members are spread over the servers of a list, those of the
 * first one publish, at a rate that does not wait for anybody, and each message has to
 * come to every member. Its way is timed from the moment when it was due, so a server
 * that stalls does not hide that by slowing the publishers down; what counts is the time
 * to members of other nodes.
 *
 * A message is a text of fixed length that says who published it, which one it is and
 * when it was due; it is looked for in the stream of bytes, so that one program can speak
 * to servers that wrap it in frames of their own (--wrap). A message that is lost,
 * doubled or out of order is counted.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "histogram.h"
#include "support.h"
#include "wire.h"

enum {
    NODES_MAX = 16,
    MARK = '@',
    WHO_DIGITS = 4,
    WHICH_DIGITS = 8,
    WHEN_DIGITS = 16,
    MESSAGE = 1 + WHO_DIGITS + WHICH_DIGITS + WHEN_DIGITS + 3, /* 32, with padding */
    FRAME_MAX = HEADER_MAX + 2 * MESSAGE,
    PUBLISHERS_MAX = 1 << (4 * WHO_DIGITS),
    GRACE_MS = 2000, /* for what is still on its way at the end */
};

/* How a kind of server wants messages, and what has to be said before. */
struct wrap {
    const char *name, *before, *after;
    const char *greeting; /* the server's, NULL: none; answered by... */
    const char *join;     /* ...this, whose answer has this in it */
    const char *joined;
};

static const struct wrap wraps[] = {
    {.name = "none", .before = "", .after = ""},
    {.name = "socket.io",
     .before = "42[\"m\",\"",
     .after = "\"]",
     .greeting = "\"sid\"",
     .join = "40",
     .joined = "40{"},
};

struct options {
    struct target nodes[NODES_MAX];
    size_t node_count, members, publishers;
    double rate;
    const struct wrap *wrap;
    struct run_options run;
};

struct member {
    struct wire wire;
    size_t node;
    uint32_t *heard;             /* of each publisher: the next one to come */
    unsigned char part[MESSAGE]; /* of a message that came in pieces, from the mark on */
    size_t part_len;
    uint32_t said;
    unsigned char *backlog; /* (owned, nullable) what the socket did not take */
    size_t backlog_len, backlog_room;
};

struct nodes {
    const struct options *options;
    struct member *members;
    uint32_t *heard;
    uint64_t published, delivered, wrong;
    int64_t begin, from, to; /* of the publishing, and the part that is measured */
    uint64_t due_measured, measured; /* deliveries of messages that were due then */
    struct histogram near, far;      /* of the publishers' node, and of the others; ns */
    int epoll_fd;
};

/* ---- messages ---- */

static void put_hex(char *out, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
}

static uint64_t get_hex(const unsigned char *in, int digits)
{
    uint64_t value = 0;

    for (int i = 0; i < digits; i++)
        value = value << 4 | (uint64_t)(in[i] <= '9' ? in[i] - '0' : in[i] - 'a' + 10);
    return value;
}

static size_t put_message(unsigned char *out, const struct wrap *wrap, size_t who,
                          uint32_t which, int64_t when)
{
    char text[2 * MESSAGE + 1];
    const size_t at = strlen(wrap->before);

    memcpy(text, wrap->before, at);
    memset(text + at, '.', MESSAGE);
    text[at] = MARK;
    put_hex(text + at + 1, who, WHO_DIGITS);
    put_hex(text + at + 1 + WHO_DIGITS, which, WHICH_DIGITS);
    put_hex(text + at + 1 + WHO_DIGITS + WHICH_DIGITS, (uint64_t)when, WHEN_DIGITS);
    memcpy(text + at + MESSAGE, wrap->after, strlen(wrap->after));
    return put_frame(out, BYTE0_TEXT, text, at + MESSAGE + strlen(wrap->after));
}

/* ---- publishing ---- */

static void keep(struct member *member, const unsigned char *data, size_t len)
{
    if (member->backlog_room - member->backlog_len < len) {
        member->backlog_room = 2 * (member->backlog_len + len);
        member->backlog = realloc(member->backlog, member->backlog_room);
        if (member->backlog == NULL)
            die("no memory");
    }
    memcpy(member->backlog + member->backlog_len, data, len);
    member->backlog_len += len;
}

static void send_rest(struct member *member)
{
    const size_t len = member->backlog_len;

    if (len == 0)
        return;
    wire_send_rest(&member->wire, member->backlog + len, &member->backlog_len);
    memmove(member->backlog, member->backlog + len - member->backlog_len,
            member->backlog_len);
}

static bool is_measured(const struct nodes *nodes, int64_t when)
{
    return when >= nodes->from && when < nodes->to;
}

static void publish(struct nodes *nodes, int64_t due)
{
    const size_t who = nodes->published % nodes->options->publishers;
    struct member *member = &nodes->members[who];
    unsigned char frame[FRAME_MAX];
    const size_t len = put_message(frame, nodes->options->wrap, who, member->said++, due);

    nodes->published++;
    if (is_measured(nodes, due))
        nodes->due_measured += nodes->options->members;
    keep(member, frame, len);
    send_rest(member);
}

/* ---- hearing ---- */

static void hear(struct nodes *nodes, struct member *member, const unsigned char *message)
{
    const size_t who = (size_t)get_hex(message + 1, WHO_DIGITS);
    const uint32_t which = (uint32_t)get_hex(message + 1 + WHO_DIGITS, WHICH_DIGITS);
    const int64_t when = (int64_t)get_hex(message + 1 + WHO_DIGITS + WHICH_DIGITS,
                                          WHEN_DIGITS);
    const int64_t took = clock_ns(CLOCK_MONOTONIC) - when;

    nodes->delivered++;
    if (who >= nodes->options->publishers || which != member->heard[who] || took < 0) {
        nodes->wrong++;
        if (who >= nodes->options->publishers)
            return;
    }
    member->heard[who] = which + 1;
    if (!is_measured(nodes, when))
        return;
    nodes->measured++;
    histogram_add(member->node == 0 ? &nodes->near : &nodes->far, (uint64_t)took);
}

static void hear_all(struct nodes *nodes, struct member *member,
                     const unsigned char *data, size_t len)
{
    const unsigned char *end = data + len;

    if (member->part_len > 0) {
        const size_t missing = MESSAGE - member->part_len;
        const size_t take = missing < len ? missing : len;

        memcpy(member->part + member->part_len, data, take);
        member->part_len += take;
        data += take;
        if (member->part_len < MESSAGE)
            return;
        hear(nodes, member, member->part);
        member->part_len = 0;
    }
    while (data < end && (data = memchr(data, MARK, (size_t)(end - data))) != NULL) {
        if (end - data < MESSAGE) {
            member->part_len = (size_t)(end - data);
            memcpy(member->part, data, member->part_len);
            return;
        }
        hear(nodes, member, data);
        data += MESSAGE;
    }
}

static void receive(struct nodes *nodes, struct member *member)
{
    struct wire_bytes got = {0};

    while (wire_next(&member->wire, &got))
        hear_all(nodes, member, got.data, got.len);
}

static void turn(struct nodes *nodes, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    const int count = must_wait(nodes->epoll_fd, events, timeout_ms, NULL);

    for (int i = 0; i < count; i++) {
        struct member *member = events[i].data.ptr;

        send_rest(member);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(nodes, member);
    }
}

/* ---- a run ---- */

static void run(struct nodes *nodes)
{
    const struct options *o = nodes->options;
    const double step = NS_PER_S / o->rate;
    const uint64_t all = (uint64_t)(o->rate * (o->run.warmup + o->run.seconds));
    int64_t now, end;

    nodes->begin = clock_ns(CLOCK_MONOTONIC);
    nodes->from = nodes->begin + (int64_t)(o->run.warmup * NS_PER_S);
    nodes->to = nodes->from + (int64_t)(o->run.seconds * NS_PER_S);
    while (nodes->published < all) {
        int64_t due = nodes->begin + (int64_t)((double)nodes->published * step);

        now = clock_ns(CLOCK_MONOTONIC);
        for (; nodes->published < all && due <= now;
             due = nodes->begin + (int64_t)((double)nodes->published * step))
            publish(nodes, due);
        turn(nodes, due - now > 2000000 ? (int)((due - now) / 1000000) - 1 : 0);
    }
    end = clock_ns(CLOCK_MONOTONIC) + (int64_t)GRACE_MS * 1000000;
    while (nodes->delivered < nodes->published * o->members &&
           clock_ns(CLOCK_MONOTONIC) < end)
        turn(nodes, 10);
}

/* ---- opening ---- */

static void await(struct wire *wire, char *head, const char *what)
{
    size_t have = strlen(head);

    while (strstr(head, what) == NULL) {
        struct pollfd p = {.fd = wire->fd, .events = POLLIN};
        ssize_t n;

        if (have >= RESPONSE_MAX - 1 || poll(&p, 1, STALL_MS) <= 0)
            die("a server does not greet as its kind should");
        n = wire_recv(wire, head + have, RESPONSE_MAX - 1 - have);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            die("a server hung up during the greeting");
        for (ssize_t i = 0; i < n; i++) /* a text for strstr() */
            if (head[have + (size_t)i] == '\0')
                head[have + (size_t)i] = ' ';
        have += n > 0 ? (size_t)n : 0;
        head[have] = '\0';
    }
}

static void greet(struct wire *wire, const struct wrap *wrap, char *head)
{
    unsigned char frame[FRAME_MAX];
    char *body = strstr(head, "\r\n\r\n");
    size_t len;

    if (wrap->greeting == NULL)
        return;
    memmove(head, body, strlen(body) + 1);
    await(wire, head, wrap->greeting);
    len = put_frame(frame, BYTE0_TEXT, wrap->join, strlen(wrap->join));
    if (wire_send(wire, frame, len) != (ssize_t)len)
        die_errno("send");
    await(wire, head, wrap->joined);
}

/* The publishers are members of the first node. */
static size_t node_of(const struct options *o, size_t index)
{
    return index < o->publishers ? 0 : index % o->node_count;
}

static void open_members(struct nodes *nodes)
{
    const struct options *o = nodes->options;

    nodes->members = must_alloc(o->members, sizeof *nodes->members);
    nodes->heard = must_alloc(o->members * o->publishers, sizeof *nodes->heard);
    for (size_t i = 0; i < o->members; i++) {
        struct member *member = &nodes->members[i];
        char head[RESPONSE_MAX];

        member->heard = nodes->heard + i * o->publishers;
        member->node = node_of(o, i);
        wire_open(&member->wire, &o->nodes[member->node], head);
        greet(&member->wire, o->wrap, head);
        must_watch(nodes->epoll_fd, member->wire.fd, EPOLLIN | EPOLLOUT | EPOLLET,
                   member);
    }
}

static void close_members(struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->options->members; i++) {
        wire_close(&nodes->members[i].wire);
        free(nodes->members[i].backlog);
    }
    free(nodes->members);
    free(nodes->heard);
    close(nodes->epoll_fd);
}

/* ---- command line and report ---- */

static void print_times(const char *name, const struct histogram *times)
{
    printf("\"%s\": {\"count\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"max_us\": %.1f}, ",
           name, times->count, (double)histogram_at(times, 500) / 1000,
           (double)histogram_at(times, 990) / 1000,
           (double)histogram_at(times, 999) / 1000, (double)times->max / 1000);
}

static void report(const struct nodes *nodes)
{
    const struct options *o = nodes->options;

    if (!o->run.json) {
        printf("%zu nodes, %zu members, %.0f messages/s: %" PRIu64 " of %" PRIu64
               " deliveries, %.0f/s, %" PRIu64 " wrong; across nodes p50 %.0f us, p99 "
               "%.0f us\n",
               o->node_count, o->members, o->rate, nodes->measured, nodes->due_measured,
               (double)nodes->measured / o->run.seconds, nodes->wrong,
               (double)histogram_at(&nodes->far, 500) / 1000,
               (double)histogram_at(&nodes->far, 990) / 1000);
        return;
    }
    printf("{\"nodes\": %zu, \"members\": %zu, \"publishers\": %zu, \"rate\": %.0f, "
           "\"seconds\": %.3f, \"due\": %" PRIu64 ", \"deliveries\": %" PRIu64
           ", \"wrong\": %" PRIu64 ", ",
           o->node_count, o->members, o->publishers, o->rate, o->run.seconds,
           nodes->due_measured, nodes->measured, nodes->wrong);
    print_times("near", &nodes->near);
    print_times("far", &nodes->far);
    printf("\"deliveries_per_second\": %.0f}\n",
           (double)nodes->measured / o->run.seconds);
}

static const char usage[] =
    "usage: nodes [options] ws://ADDRESS:PORT/PATH[,ws://...]\n"
    "  --members N      connections to open, spread over the nodes (200)\n"
    "  --publishers N   how many publish, all at the first node (10)\n"
    "  --rate R         messages a second that they publish together (1000)\n"
    "  --seconds S      length of the measured window (3)\n"
    "  --warmup S       traffic before it (1)\n"
    "  --wrap KIND      none; socket.io: frames of Socket.IO 4, event \"m\" (none)\n"
    "  --json           print the result as one JSON object\n"
    "Runs end before a server's first ping (25 s).\n";

enum { MEMBERS = RUN_VALUES, PUBLISHERS, RATE, WRAP, HELP };

static const struct option option_table[] = {
    {"members", required_argument, NULL, MEMBERS},
    {"publishers", required_argument, NULL, PUBLISHERS},
    {"rate", required_argument, NULL, RATE},
    {"wrap", required_argument, NULL, WRAP},
    RUN_OPTION_TABLE,
    {"help", no_argument, NULL, HELP},
    {0},
};

static void parse_nodes(struct options *o, char *urls)
{
    if (urls == NULL)
        die("the URL is missing (--help lists the options)");
    for (char *url = strtok(urls, ","); url != NULL; url = strtok(NULL, ",")) {
        if (o->node_count == NODES_MAX)
            die("there may be 16 nodes");
        o->nodes[o->node_count].extensions = "";
        parse_url(&o->nodes[o->node_count++], url);
    }
}

static const struct wrap *find_wrap(const char *name)
{
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++)
        if (strcmp(name, wraps[i].name) == 0)
            return &wraps[i];
    die("--wrap is none or socket.io");
    return NULL;
}

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *urls = parse_options(values, option_table, usage, argc, argv);

    *o = (struct options){
        .members = (size_t)number_or(values[MEMBERS], 200),
        .publishers = (size_t)number_or(values[PUBLISHERS], 10),
        .rate = number_or(values[RATE], 1000),
        .run = run_options_of(values, 3, 1),
        .wrap = find_wrap(values[WRAP] != NULL ? values[WRAP] : "none"),
    };
    parse_nodes(o, (char *)urls);
    if (o->members == 0 || o->members > 100000 || o->publishers == 0 ||
        o->publishers > o->members || o->publishers >= PUBLISHERS_MAX)
        die("--members must be 1 to 100000, --publishers not more, nor above 65535");
    if (!(o->rate >= 1) || o->rate > 1e7)
        die("--rate must be 1 to 10000000");
}

int main(int argc, char **argv)
{
    static struct nodes nodes;
    struct options options;

    parse(&options, argc, argv);
    nodes.options = &options;
    nodes.epoll_fd = must_epoll();
    raise_fd_limit();
    open_members(&nodes);
    run(&nodes);
    report(&nodes);
    close_members(&nodes);
    return 0;
}
