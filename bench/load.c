/* SPDX-License-Identifier: MIT */
/*
 * A load generator that costs as little as it can, so that the server is what is
 * measured: one thread, edge-triggered epoll, one send of a prebuilt batch and one recv
 * of its replies, no parsing. A connection sends D masked binary frames, waits until the
 * D replies have come, and goes on. The replies are known in advance byte for byte (a
 * server's frames carry no mask, so each is 4 bytes shorter), and every byte received is
 * compared with them; --raw expects what was sent instead. With --fan-out only the first
 * connection sends, and every one has to receive that. The CPU clocks of the server
 * and of the generator itself are read in this process at both ends of the measured
 * window. Over TLS a batch is as few records as hold it.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "wire.h"

struct options {
    struct target target;
    size_t connections;
    size_t payload;
    size_t depth;
    size_t messages; /* 0: run by time */
    struct run_options run;
    bool fan_out;
    bool idle;
};

struct conn {
    struct wire wire;
    size_t unsent; /* bytes of the batch that the socket has not taken yet */
    size_t owed;   /* bytes of the replies still to come; 0 between batches */
    size_t left;   /* batches this connection may still begin */
};

struct load {
    struct generator generator; /* first */
    const struct options *options;
    struct conn *conns;
    unsigned char *batch, *replies;
    size_t batch_len, replies_len, reply_len;
    int epoll_fd;
};

/* What was done is bytes of replies; a round is a batch. */
static struct load *load_of(struct generator *g)
{
    return (struct load *)(void *)g;
}

/* Frames */

/* The payloads of a batch differ, so that replies in the wrong order are seen. */
static unsigned char payload_byte(size_t frame, size_t i)
{
    return (unsigned char)(i == 0 ? frame : i * 7 + frame * 31 + (i >> 8));
}

static size_t put_payload(unsigned char *out, size_t frame, size_t len, bool masked)
{
    size_t header = put_header(out, BYTE0_BINARY, len, masked ? frame_mask : NULL);

    for (size_t i = 0; i < len; i++)
        out[header + i] = payload_byte(frame, i);
    if (masked)
        apply_mask(out + header, len, frame_mask);
    return header + len;
}

static void build_frames(struct load *load)
{
    const struct options *o = load->options;
    size_t room = o->depth * (o->payload + HEADER_MAX);

    load->batch = must_alloc(room, 1);
    load->replies = must_alloc(room, 1);
    for (size_t i = 0; i < o->depth; i++) {
        load->batch_len += put_payload(load->batch + load->batch_len, i, o->payload,
                                       true);
        load->replies_len += put_payload(load->replies + load->replies_len, i, o->payload,
                                         o->target.raw);
    }
    load->reply_len = load->replies_len / o->depth;
}

static void open_connections(struct load *load)
{
    const struct options *o = load->options;

    load->conns = must_alloc(o->connections, sizeof *load->conns);
    for (size_t i = 0; i < o->connections; i++) {
        char head[RESPONSE_MAX];
        struct wire *wire = &load->conns[i].wire;

        wire_open(wire, &o->target, head);
        must_watch(load->epoll_fd, wire->fd, EPOLLIN | EPOLLOUT | EPOLLET,
                   &load->conns[i]);
    }
}

/* Traffic */

static void send_rest(struct load *load, struct conn *conn)
{
    wire_send_rest(&conn->wire, load->batch + load->batch_len, &conn->unsent);
}

static void begin_batch(struct load *load, struct conn *conn)
{
    if (conn->left == 0)
        return;
    conn->left--;
    conn->unsent = load->batch_len;
    conn->owed = load->replies_len;
    load->generator.active++;
    send_rest(load, conn);
}

/* What the first connection sends, all are to receive. */
static void begin_fan_out(struct load *load)
{
    if (load->conns[0].left == 0)
        return;
    for (size_t i = 1; i < load->options->connections; i++)
        load->conns[i].owed = load->replies_len;
    load->generator.active += load->options->connections - 1;
    begin_batch(load, &load->conns[0]);
}

static void end_batch(struct load *load, struct conn *conn)
{
    load->generator.active--;
    if (!load->options->fan_out)
        begin_batch(load, conn);
    else if (load->generator.active == 0)
        begin_fan_out(load);
}

/* A finished batch leaves nothing to come: the next edge is a new one. */
static void receive(struct load *load, struct conn *conn)
{
    struct wire_bytes got = {0};

    while (wire_next(&conn->wire, &got)) {
        if (got.len > conn->owed ||
            memcmp(got.data, load->replies + (load->replies_len - conn->owed), got.len) !=
                0)
            die("a reply differs from what was sent");
        conn->owed -= got.len;
        load->generator.done += got.len;
        if (conn->owed == 0) {
            end_batch(load, conn);
            return;
        }
    }
}

static void turn(struct generator *g)
{
    struct load *load = load_of(g);
    struct epoll_event events[EVENTS_MAX];
    const int count = must_wait(load->epoll_fd, events, STALL_MS,
                                "no reply came for 10 s");

    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].data.ptr;

        if (conn->unsent > 0)
            send_rest(load, conn);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(load, conn);
    }
}

static void begin_all(struct generator *g, size_t batches)
{
    struct load *load = load_of(g);

    if (load->options->fan_out) {
        load->conns[0].left = batches;
        if (load->generator.active == 0)
            begin_fan_out(load);
        return;
    }
    for (size_t i = 0; i < load->options->connections; i++) {
        load->conns[i].left = batches;
        if (load->conns[i].owed == 0)
            begin_batch(load, &load->conns[i]);
    }
}

static void report(const struct load *load, const struct sample *from,
                   const struct sample *to)
{
    const struct options *o = load->options;
    struct sample_rates r = between(from, to);
    const double messages = r.done / (double)load->reply_len;

    if (o->run.json) {
        printf("{\"connections\": %zu, \"payload\": %zu, \"depth\": %zu, "
               "\"seconds\": %.6f, \"messages\": %.0f, \"messages_per_second\": %.0f, ",
               o->connections, o->payload, o->depth, r.seconds, messages,
               messages / r.seconds);
        print_cpu_json(&r, o->run.pid);
        return;
    }
    r.done = messages; /* it counts bytes */
    printf("%.0f messages in %.3f s: %.0f/s; ", messages, r.seconds,
           messages / r.seconds);
    print_cpu(&r, o->run.pid, "message");
}

/* Command line */

static const char usage[] =
    "usage: load [options] ws[s]://ADDRESS:PORT/PATH\n"
    "  --connections N  connections to open (200)\n"
    "  --payload BYTES  payload of each message (32)\n"
    "  --depth D        messages sent at once, then awaited together (1)\n"
    "  --seconds S      length of the measured window (3)\n"
    "  --warmup S       traffic before it (1)\n"
    "  --messages N     exactly N messages in all, without warm-up, instead of a "
    "window;\n"
    "                   a multiple of connections times depth\n"
    "  --pid PID        read the CPU clock of this server at both ends of the window\n"
    "  --raw            the server is raw_echo: replies are the very bytes sent\n"
    "  --fan-out        only the first connection sends, to all: each of them receives "
    "it\n"
    "  --idle           open, print \"ready\", hold until standard input ends, send "
    "nothing\n"
    "  --json           print the result as one JSON object\n"
    "Runs end before the server's first ping (25 s): a ping counts as a wrong reply.\n";

enum { CONNECTIONS = RUN_VALUES, PAYLOAD, DEPTH, MESSAGES, RAW, FAN_OUT, IDLE, HELP };

static const struct option option_table[] = {
    {"connections", required_argument, NULL, CONNECTIONS},
    {"payload", required_argument, NULL, PAYLOAD},
    {"depth", required_argument, NULL, DEPTH},
    {"messages", required_argument, NULL, MESSAGES},
    {"raw", no_argument, NULL, RAW},
    {"fan-out", no_argument, NULL, FAN_OUT},
    {"idle", no_argument, NULL, IDLE},
    RUN_OPTION_TABLE,
    {"pid", required_argument, NULL, RUN_PID},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void check(const struct options *o)
{
    if (o->connections == 0 || o->connections > 1000000)
        die("--connections must be 1 to 1000000");
    if (o->depth == 0 || o->depth > 65536 || o->payload > 64 << 20)
        die("--depth must be 1 to 65536, --payload at most 64 MiB");
    if (o->messages % (o->connections * o->depth) != 0)
        die("--messages must be a multiple of connections times depth");
}

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *url = parse_options(values, option_table, usage, argc, argv);

    *o = (struct options){
        .connections = (size_t)number_or(values[CONNECTIONS], 200),
        .payload = (size_t)number_or(values[PAYLOAD], 32),
        .depth = (size_t)number_or(values[DEPTH], 1),
        .run = run_options_of(values, 3, 1),
        .messages = (size_t)number_or(values[MESSAGES], 0),
        .target = {.raw = values[RAW] != NULL, .extensions = ""},
        .fan_out = values[FAN_OUT] != NULL,
        .idle = values[IDLE] != NULL,
    };
    parse_url(&o->target, url);
    check(o);
}

int main(int argc, char **argv)
{
    struct options options;
    struct load load = {.options = &options, .epoll_fd = must_epoll()};
    struct sample from, to;

    parse(&options, argc, argv);
    generator_init(&load.generator, begin_all, turn, &options.run);
    build_frames(&load);
    open_connections(&load);
    if (options.idle) {
        hold_idle();
    } else {
        if (options.messages > 0)
            run_by_count(&load.generator,
                         options.messages / (options.depth * options.connections), &from,
                         &to);
        else
            run_by_time(&load.generator, &from, &to);
        report(&load, &from, &to);
    }
    for (size_t i = 0; i < options.connections; i++)
        wire_close(&load.conns[i].wire);
    free(load.conns);
    free(load.batch);
    free(load.replies);
    close(load.epoll_fd);
    return 0;
}
