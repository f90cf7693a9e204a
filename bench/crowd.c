/* SPDX-License-Identifier: MIT */
/*
 * A crowd in one room: all connections are members, the first of them publish, and each
 * message has to come to every member. A publisher has D messages on their way; when the
 * last of them has come back to itself it publishes the next. Every frame that comes is
 * looked at: who published it, and that it is the one after the last of that publisher,
 * so a message that is lost, doubled or out of order ends the run.
 *
 * One thread, edge-triggered epoll, large reads: the server is what is to be busy. What
 * is counted is deliveries.
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

enum {
    PAYLOAD_MIN = 8, /* of whom, and which one */
    PAYLOAD_MAX = 125,
    FRAME_MAX = 2 + PAYLOAD_MAX,
    MASKED = 6, /* bytes of a client's header */
};

struct options {
    struct target target;
    size_t members, publishers, payload, depth;
    struct run_options run;
};

/* What one member has heard, and said if it is a publisher. */
struct member {
    struct wire wire;
    uint32_t *heard;               /* of each publisher: the next one to come */
    unsigned char part[FRAME_MAX]; /* of a frame that came in pieces */
    size_t part_len;
    size_t left;          /* batches that it may still begin */
    uint32_t said, back;  /* messages; and how many came back to it */
    unsigned char *batch; /* of a publisher */
    size_t unsent;
};

struct crowd {
    struct generator generator; /* first; done is deliveries */
    const struct options *options;
    struct member *members;
    uint32_t *heard;
    unsigned char *batches;
    size_t frame_len, batch_len;
    uint64_t published, delivered, missed;
    int epoll_fd;
};

static struct crowd *crowd_of(struct generator *g)
{
    return (struct crowd *)(void *)g;
}

/* ---- publishing ---- */

static void put_number(unsigned char *out, uint32_t number, size_t at)
{
    for (size_t i = 0; i < 4; i++)
        out[i] = (unsigned char)(number >> (8 * i)) ^ frame_mask[(at + i) % 4];
}

static uint32_t get_number(const unsigned char *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static unsigned char padding(size_t i)
{
    return (unsigned char)(i * 7);
}

static void send_rest(struct crowd *crowd, struct member *member)
{
    wire_send_rest(&member->wire, member->batch + crowd->batch_len, &member->unsent);
}

static void publish(struct crowd *crowd, struct member *member)
{
    const size_t depth = crowd->options->depth;
    const size_t step = crowd->options->payload + MASKED;
    const uint32_t index = (uint32_t)(member - crowd->members);

    if (member->left == 0)
        return;
    member->left--;
    for (size_t i = 0; i < depth; i++) {
        put_number(member->batch + i * step + MASKED, index, 0);
        put_number(member->batch + i * step + MASKED + 4, member->said++, 4);
    }
    member->unsent = crowd->batch_len;
    crowd->published += depth;
    crowd->generator.active++;
    send_rest(crowd, member);
}

static void begin_all(struct generator *g, size_t batches)
{
    struct crowd *crowd = crowd_of(g);

    for (size_t i = 0; i < crowd->options->publishers; i++) {
        struct member *member = &crowd->members[i];

        member->left = batches;
        if (member->back == member->said)
            publish(crowd, member);
    }
}

/* ---- hearing ---- */

static void hear(struct crowd *crowd, struct member *member, const unsigned char *frame)
{
    const size_t payload = crowd->options->payload;
    const uint32_t from = get_number(frame + 2), number = get_number(frame + 6);

    if (frame[0] != BYTE0_BINARY || frame[1] != payload ||
        from >= crowd->options->publishers ||
        (payload > PAYLOAD_MIN && frame[1 + payload] != padding(payload - 1)))
        die("a message is not one of those that were published");
    if (member->heard[from] == 0) /* it may have joined a moment after it was open */
        crowd->missed += number;
    else if (number != member->heard[from])
        die("a message was lost, doubled or out of order");
    member->heard[from] = number + 1;
    crowd->delivered++;
    crowd->generator.done++;
    if (&crowd->members[from] == member)
        member->back++;
}

static void hear_all(struct crowd *crowd, struct member *member,
                     const unsigned char *data, size_t len)
{
    const size_t size = crowd->frame_len;
    const uint32_t before = member->back;

    if (member->part_len > 0) {
        const size_t missing = size - member->part_len;
        const size_t take = missing < len ? missing : len;

        memcpy(member->part + member->part_len, data, take);
        member->part_len += take;
        data += take;
        len -= take;
        if (member->part_len < size)
            return;
        hear(crowd, member, member->part);
    }
    for (; len >= size; data += size, len -= size)
        hear(crowd, member, data);
    memcpy(member->part, data, len);
    member->part_len = len;
    if (member->back == before || member->back != member->said)
        return;
    crowd->generator.active--;
    publish(crowd, member);
}

static void receive(struct crowd *crowd, struct member *member)
{
    struct wire_bytes got = {0};

    while (wire_next(&member->wire, &got))
        hear_all(crowd, member, got.data, got.len);
}

static void turn(struct generator *g)
{
    struct crowd *crowd = crowd_of(g);
    struct epoll_event events[EVENTS_MAX];
    const int count = must_wait(crowd->epoll_fd, events, STALL_MS,
                                "no message came for 10 s");

    for (int i = 0; i < count; i++) {
        struct member *member = events[i].data.ptr;

        if (member->unsent > 0)
            send_rest(crowd, member);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(crowd, member);
    }
}

/* ---- beginning and end ---- */

static void prepare_batch(const struct crowd *crowd, unsigned char *batch)
{
    const size_t payload = crowd->options->payload, step = payload + MASKED;

    for (size_t i = 0; i < crowd->options->depth; i++) {
        unsigned char *frame = batch + i * step;

        put_header(frame, BYTE0_BINARY, payload, frame_mask);
        for (size_t j = PAYLOAD_MIN; j < payload; j++)
            frame[MASKED + j] = padding(j) ^ frame_mask[j % 4];
    }
}

static void open_members(struct crowd *crowd)
{
    const struct options *o = crowd->options;

    crowd->frame_len = 2 + o->payload;
    crowd->batch_len = o->depth * (MASKED + o->payload);
    crowd->members = must_alloc(o->members, sizeof *crowd->members);
    crowd->heard = must_alloc(o->members * o->publishers, sizeof *crowd->heard);
    crowd->batches = must_alloc(o->publishers, crowd->batch_len);
    for (size_t i = 0; i < o->members; i++) {
        struct member *member = &crowd->members[i];
        char head[RESPONSE_MAX];

        member->heard = crowd->heard + i * o->publishers;
        if (i < o->publishers) {
            member->batch = crowd->batches + i * crowd->batch_len;
            prepare_batch(crowd, member->batch);
        }
        wire_open(&member->wire, &o->target, head);
        must_watch(crowd->epoll_fd, member->wire.fd, EPOLLIN | EPOLLOUT | EPOLLET,
                   member);
    }
}

/* Not before all has come to everybody. */
static void close_members(struct crowd *crowd)
{
    while (crowd->delivered + crowd->missed < crowd->published * crowd->options->members)
        turn(&crowd->generator);
    for (size_t i = 0; i < crowd->options->members; i++)
        wire_close(&crowd->members[i].wire);
    free(crowd->members);
    free(crowd->heard);
    free(crowd->batches);
    close(crowd->epoll_fd);
}

static void report(const struct options *o, const struct sample *from,
                   const struct sample *to)
{
    const struct sample_rates r = between(from, to);

    if (o->run.json) {
        printf(
            "{\"members\": %zu, \"publishers\": %zu, \"payload\": %zu, \"depth\": %zu, "
            "\"seconds\": %.6f, \"deliveries\": %.0f, \"deliveries_per_second\": %.0f, ",
            o->members, o->publishers, o->payload, o->depth, r.seconds, r.done,
            r.done / r.seconds);
        print_cpu_json(&r, o->run.pid);
        return;
    }
    printf("%.0f deliveries in %.3f s: %.0f/s; ", r.done, r.seconds, r.done / r.seconds);
    print_cpu(&r, o->run.pid, "delivery");
}

/* ---- command line ---- */

static const char usage[] =
    "usage: crowd [options] ws[s]://ADDRESS:PORT/PATH\n"
    "  --members N      connections to open, all members of the room (200)\n"
    "  --publishers N   how many of them publish (1)\n"
    "  --payload BYTES  payload of each message, 8 to 125 (32)\n"
    "  --depth D        messages that a publisher has on their way (1)\n"
    "  --seconds S      length of the measured window (3)\n"
    "  --warmup S       traffic before it (1)\n"
    "  --pid PID        read the CPU clock of this server at both ends of the window\n"
    "  --json           print the result as one JSON object\n"
    "Runs end before the server's first ping (25 s): a ping counts as a wrong message.\n";

enum { MEMBERS = RUN_VALUES, PUBLISHERS, PAYLOAD, DEPTH, HELP };

static const struct option option_table[] = {
    {"members", required_argument, NULL, MEMBERS},
    {"publishers", required_argument, NULL, PUBLISHERS},
    {"payload", required_argument, NULL, PAYLOAD},
    {"depth", required_argument, NULL, DEPTH},
    RUN_OPTION_TABLE,
    {"pid", required_argument, NULL, RUN_PID},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void check(const struct options *o)
{
    if (o->members == 0 || o->members > 100000)
        die("--members must be 1 to 100000");
    if (o->publishers == 0 || o->publishers > o->members || o->publishers > 10000)
        die("--publishers must be 1 to 10000, and not more than the members");
    if (o->payload < PAYLOAD_MIN || o->payload > PAYLOAD_MAX)
        die("--payload must be 8 to 125");
    if (o->depth == 0 || o->depth > 65536)
        die("--depth must be 1 to 65536");
}

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *url = parse_options(values, option_table, usage, argc, argv);

    *o = (struct options){
        .members = (size_t)number_or(values[MEMBERS], 200),
        .publishers = (size_t)number_or(values[PUBLISHERS], 1),
        .payload = (size_t)number_or(values[PAYLOAD], 32),
        .depth = (size_t)number_or(values[DEPTH], 1),
        .run = run_options_of(values, 3, 1),
        .target = {.extensions = ""},
    };
    parse_url(&o->target, url);
    check(o);
}

int main(int argc, char **argv)
{
    struct options options;
    struct crowd crowd = {.options = &options, .epoll_fd = must_epoll()};
    struct sample from, to;

    parse(&options, argc, argv);
    generator_init(&crowd.generator, begin_all, turn, &options.run);
    open_members(&crowd);
    run_by_time(&crowd.generator, &from, &to);
    report(&options, &from, &to);
    close_members(&crowd);
    return 0;
}
