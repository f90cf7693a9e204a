/* SPDX-License-Identifier: MIT */
/*
 * The generator of joins: connections that speak rooms.v1 join a room and leave it again,
 * D times in one batch, and send the next one when they are told of the last leave. What
 * is counted is pairs of a join and a leave, each of which was answered.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "v1.h"

enum {
    DEPTH_MAX = 32, /* a batch has at most 64 frames */
    BATCH_MAX = DEPTH_MAX * 128 + 2,
};

struct options {
    struct target target;
    size_t connections, rooms, depth;
    struct run_options run;
    bool idle;
};

struct guest {
    struct joins *joins;
    struct wire wire;
    struct v1_reader reader;
    size_t left; /* batches that it may still begin */
    size_t owed; /* answers: joined and left */
    char *batch; /* (owned) */
};

struct joins {
    struct generator generator; /* first; done is pairs */
    const struct options *options;
    struct guest *guests;
    size_t settled; /* guests that are where they are at first */
    int epoll_fd;
};

static struct joins *joins_of(struct generator *g)
{
    return (struct joins *)(void *)g;
}

static void send_batch(struct guest *guest)
{
    if (guest->left == 0)
        return;
    guest->left--;
    guest->owed = 2 * guest->joins->options->depth;
    guest->joins->generator.active++;
    v1_send(&guest->wire, guest->batch);
}

static void begin_all(struct generator *g, size_t batches)
{
    struct joins *joins = joins_of(g);

    for (size_t i = 0; i < joins->options->connections; i++) {
        joins->guests[i].left = batches;
        if (joins->guests[i].owed == 0)
            send_batch(&joins->guests[i]);
    }
}

/* Answers come in the order of what was asked. */
static void hear(void *user, const char *text)
{
    struct guest *guest = user;
    struct joins *joins = guest->joins;

    if (v1_is(text, joins->options->idle ? "joined" : "welcome"))
        joins->settled++;
    if (v1_field(text, "err") != NULL)
        die(text);
    if (!v1_is(text, guest->owed % 2 == 0 ? "joined" : "left") || guest->owed == 0)
        return;
    guest->owed--;
    joins->generator.done += guest->owed % 2 == 0;
    if (guest->owed > 0)
        return;
    joins->generator.active--;
    send_batch(guest);
}

static void receive(struct guest *guest)
{
    struct wire_bytes got = {0};

    while (wire_next(&guest->wire, &got))
        v1_read(&guest->reader, got.data, got.len, hear, guest);
}

static void turn(struct generator *g)
{
    struct epoll_event events[EVENTS_MAX];
    const int count = must_wait(joins_of(g)->epoll_fd, events, STALL_MS,
                                "no answer came for 10 s");

    for (int i = 0; i < count; i++)
        receive(events[i].data.ptr);
}

/* ---- beginning and end ---- */

static char *make_batch(const struct options *o, size_t room)
{
    char *batch = must_alloc(BATCH_MAX, 1), *at = batch;

    if (o->idle) {
        snprintf(batch, BATCH_MAX, "{\"type\":\"join\",\"room\":\"room.%zu\"}", room);
        return batch;
    }
    for (size_t i = 0; i < o->depth; i++)
        at += snprintf(at, BATCH_MAX / DEPTH_MAX,
                       "%c{\"type\":\"join\",\"room\":\"room.%zu\"},"
                       "{\"type\":\"leave\",\"room\":\"room.%zu\"}",
                       i == 0 ? '[' : ',', room, room);
    snprintf(at, 2, "]");
    return batch;
}

static void open_guests(struct joins *joins)
{
    const struct options *o = joins->options;

    joins->guests = must_alloc(o->connections, sizeof *joins->guests);
    for (size_t i = 0; i < o->connections; i++) {
        struct guest *guest = &joins->guests[i];
        char head[RESPONSE_MAX];

        guest->joins = joins;
        guest->batch = make_batch(o, i % o->rooms);
        wire_open(&guest->wire, &o->target, head);
        must_watch(joins->epoll_fd, guest->wire.fd, EPOLLIN | EPOLLET, guest);
        v1_send(&guest->wire, V1_HELLO);
        if (o->idle)
            v1_send(&guest->wire, guest->batch);
    }
    while (joins->settled < o->connections)
        turn(&joins->generator);
}

static void close_guests(struct joins *joins)
{
    for (size_t i = 0; i < joins->options->connections; i++) {
        wire_close(&joins->guests[i].wire);
        v1_reader_fini(&joins->guests[i].reader);
        free(joins->guests[i].batch);
    }
    free(joins->guests);
    close(joins->epoll_fd);
}

static void report(const struct options *o, const struct sample *from,
                   const struct sample *to)
{
    const struct sample_rates r = between(from, to);

    if (o->run.json) {
        printf("{\"connections\": %zu, \"rooms\": %zu, \"depth\": %zu, "
               "\"seconds\": %.6f, \"joins\": %.0f, \"joins_per_second\": %.0f, ",
               o->connections, o->rooms, o->depth, r.seconds, r.done, r.done / r.seconds);
        print_cpu_json(&r, o->run.pid);
        return;
    }
    printf("%.0f joins and leaves in %.3f s: %.0f/s; ", r.done, r.seconds,
           r.done / r.seconds);
    print_cpu(&r, o->run.pid, "pair");
}

/* ---- command line ---- */

static const char usage[] =
    "usage: joins [options] ws[s]://ADDRESS:PORT/PATH\n"
    "  --connections N  connections to open, all speak rooms.v1 (200)\n"
    "  --rooms R        rooms that they are spread over (20)\n"
    "  --depth D        joins and leaves in one batch, at most 32 (1)\n"
    "  --seconds S      length of the measured window (3)\n"
    "  --warmup S       traffic before it (1)\n"
    "  --pid PID        read the CPU clock of this server at both ends of the window\n"
    "  --idle           join once, print \"ready\", hold until standard input ends\n"
    "  --json           print the result as one JSON object\n";

enum { CONNECTIONS = RUN_VALUES, ROOMS, DEPTH, IDLE, HELP };

static const struct option option_table[] = {
    {"connections", required_argument, NULL, CONNECTIONS},
    {"rooms", required_argument, NULL, ROOMS},
    {"depth", required_argument, NULL, DEPTH},
    {"idle", no_argument, NULL, IDLE},
    RUN_OPTION_TABLE,
    {"pid", required_argument, NULL, RUN_PID},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *url = parse_options(values, option_table, usage, argc, argv);

    *o = (struct options){
        .connections = (size_t)number_or(values[CONNECTIONS], 200),
        .rooms = (size_t)number_or(values[ROOMS], 20),
        .depth = (size_t)number_or(values[DEPTH], 1),
        .run = run_options_of(values, 3, 1),
        .target = {.extensions = V1_OFFER},
        .idle = values[IDLE] != NULL,
    };
    parse_url(&o->target, url);
    if (o->connections == 0 || o->connections > 100000 || o->rooms == 0)
        die("--connections must be 1 to 100000, --rooms at least 1");
    if (o->depth == 0 || o->depth > DEPTH_MAX)
        die("--depth must be 1 to 32");
}

int main(int argc, char **argv)
{
    struct options options;
    struct joins joins = {.options = &options};
    struct sample from, to;

    parse(&options, argc, argv);
    generator_init(&joins.generator, begin_all, turn, &options.run);
    joins.epoll_fd = must_epoll();
    open_guests(&joins);
    if (options.idle) {
        hold_idle();
    } else {
        run_by_time(&joins.generator, &from, &to);
        report(&options, &from, &to);
    }
    close_guests(&joins);
    return 0;
}
