/* SPDX-License-Identifier: MIT */
/*
 * A crowd that comes back after its server was killed. Members of a room with history,
 * who speak rooms.v1, are all at one node; somebody publishes at another. Then the first
 * is gone, more is published, it is there again, and all come back with their positions,
 * each with another one, so many at a time. Each has to get exactly what it missed, in
 * order, told that it has recovered, and then what is new; else the run ends.
 *
 * Who runs this kills the node and starts it again. It is told "ready" when all have
 * heard what was said before, "published" when what they miss is stored, and answers with
 * a line of two process ids, of the new server and of the broker, whose CPU clocks are
 * read.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "v1.h"

enum {
    BUFFER_BYTES = 256 * 1024,
    MESSAGES_MAX = 2000,
    PAYLOAD_MAX = 4096,
    NUMBER_DIGITS = 10,
    EPOCH_MAX = 64,
};

struct options {
    struct target node, other;
    size_t members, heard, missed, in_flight, payload;
    bool json;
};

enum state {
    AWAY,
    CONNECTING,
    ASKING, /* the head of the response comes */
    JOINING,
    BACK, /* it has all that there is */
};

struct member {
    struct crowd *crowd;
    struct wire wire;
    struct v1_reader reader;
    enum state state;
    bool joined;   /* with or without what it missed, as it should be */
    uint32_t next; /* number of the message that comes next */
    int64_t begun; /* ns; when it connected */
    int64_t took;  /* until it had all */
};

struct crowd {
    const struct options *options;
    struct member *members;
    struct member publisher;
    char epoch[EPOCH_MAX];
    uint64_t offset_of[MESSAGES_MAX + 1];
    uint32_t said;   /* the last message's number; the first is 1 */
    uint32_t stored; /* answers to what was published */
    bool returns;    /* with positions */
    size_t away, opening, back;
    uint64_t delivered;
    int epoll_fd;
};

static unsigned char buffer[BUFFER_BYTES];

/* ---- what members hear ---- */

static void note_back(struct member *member)
{
    struct crowd *crowd = member->crowd;

    if (member->state != JOINING || !member->joined || member->next <= crowd->said)
        return;
    member->state = BACK;
    member->took = clock_ns(CLOCK_MONOTONIC) - member->begun;
    crowd->back++;
    if (member != &crowd->publisher)
        crowd->opening--;
}

static bool is_same_epoch(struct crowd *crowd, const char *text)
{
    const char *epoch = v1_field(text, "epoch");
    size_t len;

    if (epoch == NULL || *epoch++ != '"')
        return false;
    len = strcspn(epoch, "\"");
    if (len >= sizeof crowd->epoch)
        die("an epoch is too long");
    if (crowd->epoch[0] == '\0')
        memcpy(crowd->epoch, epoch, len);
    return strncmp(crowd->epoch, epoch, len) == 0 && crowd->epoch[len] == '\0';
}

static void hear_message(struct member *member, const char *text)
{
    struct crowd *crowd = member->crowd;
    const char *data = v1_field(text, "data");
    const uint64_t offset = v1_number(text, "offset"), prev = v1_number(text, "prev");
    const uint32_t number = data != NULL ? (uint32_t)strtoul(data + 1, NULL, 10) : 0;

    if (number == 0 || number != member->next || number > crowd->said)
        die("a message was lost, doubled or out of order");
    if (crowd->offset_of[number] == 0)
        crowd->offset_of[number] = offset;
    if (!is_same_epoch(crowd, text) || offset != crowd->offset_of[number] ||
        prev != crowd->offset_of[number - 1])
        die("members are told different places of a message");
    crowd->delivered++;
    member->next++;
    note_back(member);
}

static void hear(void *user, const char *text)
{
    struct member *member = user;
    struct crowd *crowd = member->crowd;

    if (v1_is(text, "msg")) {
        hear_message(member, text);
    } else if (v1_is(text, "joined")) {
        const char *recovered = v1_field(text, "recovered");

        member->joined = true;
        if (crowd->returns != (recovered != NULL && strncmp(recovered, "true", 4) == 0))
            die(crowd->returns ? "a member is told that it has not recovered"
                               : "a member is told that it has recovered");
        note_back(member);
    } else if (strncmp(text, "{\"re\":", 6) == 0) {
        if (v1_field(text, "ok") == NULL)
            die(text);
        crowd->stored++;
    }
}

/* ---- connections ---- */

static void say_hello(struct member *member)
{
    char text[256];
    int len = snprintf(text, sizeof text,
                       "[" V1_HELLO ",{\"type\":\"join\",\"room\":"
                       "\"all\"");

    if (member->crowd->returns)
        len += snprintf(text + len, sizeof text - (size_t)len,
                        ",\"since\":{\"epoch\":\"%s\",\"offset\":%" PRIu64 "}",
                        member->crowd->epoch, member->crowd->offset_of[member->next - 1]);
    snprintf(text + len, sizeof text - (size_t)len, "}]");
    v1_send(&member->wire, text);
    member->state = JOINING;
}

static void leave(struct member *member)
{
    struct crowd *crowd = member->crowd;

    if (member->state != BACK)
        die("the server closed a connection that had not all yet");
    wire_close(&member->wire);
    v1_reader_fini(&member->reader);
    member->state = AWAY;
    member->joined = false;
    crowd->back--;
    crowd->away++;
}

static void take(struct member *member, const void *data, size_t len)
{
    if (member->state != ASKING)
        v1_read(&member->reader, data, len, hear, member);
    else if (v1_read_head(&member->reader, &member->crowd->options->node, data, len))
        say_hello(member);
}

static void receive(struct member *member)
{
    ssize_t n;

    do {
        n = wire_recv(&member->wire, buffer, sizeof buffer);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != ECONNRESET)
            die_errno("recv");
        if (n <= 0) {
            leave(member);
            return;
        }
        take(member, buffer, (size_t)n);
    } while ((size_t)n == sizeof buffer);
}

static void send_request(struct member *member)
{
    char request[RESPONSE_MAX];
    const size_t len = put_request(request, &member->crowd->options->node);
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(member->wire.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ||
        error != 0)
        die("a connection was refused");
    if (wire_send(&member->wire, request, len) != (ssize_t)len)
        die_errno("send");
    member->state = ASKING;
}

static void watch(struct member *member, uint32_t events)
{
    must_watch(member->crowd->epoll_fd, member->wire.fd, events | EPOLLET, member);
}

static void connect_member(struct member *member)
{
    const struct target *target = &member->crowd->options->node;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    member->wire = (struct wire){.fd = fd};
    member->begun = clock_ns(CLOCK_MONOTONIC);
    if (fd < 0 ||
        (connect(fd, (const struct sockaddr *)&target->addr, sizeof target->addr) < 0 &&
         errno != EINPROGRESS))
        die_errno("connect");
    member->state = CONNECTING;
    member->crowd->opening++;
    watch(member, EPOLLIN | EPOLLOUT);
}

static void turn(struct crowd *crowd)
{
    struct epoll_event events[EVENTS_MAX];
    const int count = must_wait(crowd->epoll_fd, events, 3 * STALL_MS,
                                "nothing came for 30 s");

    for (int i = 0; i < count; i++) {
        struct member *member = events[i].data.ptr;

        if (member->state == CONNECTING && events[i].events & EPOLLOUT)
            send_request(member);
        receive(member);
    }
}

/* ---- the story ---- */

/* All that are away connect, so many at a time, and get what there is for them. */
static void open_all(struct crowd *crowd)
{
    const struct options *o = crowd->options;
    size_t begun = 0;

    while (begun < o->members || crowd->opening > 0) {
        for (; begun < o->members && crowd->opening < o->in_flight; begun++)
            connect_member(&crowd->members[begun]);
        turn(crowd);
    }
    crowd->away = 0;
}

static void open_publisher(struct crowd *crowd)
{
    struct member *publisher = &crowd->publisher;
    char head[RESPONSE_MAX];

    publisher->crowd = crowd;
    publisher->next = 1;
    wire_open(&publisher->wire, &crowd->options->other, head);
    watch(publisher, EPOLLIN);
    say_hello(publisher);
    while (publisher->state != BACK)
        turn(crowd);
}

/* Until the broker has it, and `everybody` who is there. */
static void publish(struct crowd *crowd, size_t count, bool everybody)
{
    const struct options *o = crowd->options;
    char text[PAYLOAD_MAX + 256];

    for (size_t i = 0; i < count; i++) {
        crowd->said++;
        snprintf(text, sizeof text,
                 "{\"type\":\"pub\",\"room\":\"all\",\"id\":%" PRIu32
                 ",\"data\":\"%0*" PRIu32 ".%0*d\"}",
                 crowd->said, NUMBER_DIGITS, crowd->said, (int)o->payload, 0);
        v1_send(&crowd->publisher.wire, text);
    }
    while (crowd->stored < crowd->said || crowd->publisher.next <= crowd->said)
        turn(crowd);
    for (size_t i = 0; everybody && i < o->members; i++)
        while (crowd->members[i].next <= crowd->said)
            turn(crowd);
}

static void await_end(struct crowd *crowd)
{
    while (crowd->away < crowd->options->members)
        turn(crowd);
}

/* As if each had heard only the first of them: between one and all. */
static void forget(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->options->members; i++)
        crowd->members[i].next = (uint32_t)(2 + i % crowd->options->heard);
    crowd->delivered = 0;
    crowd->returns = true;
}

static uint64_t count_missed(const struct crowd *crowd)
{
    uint64_t missed = 0;

    for (size_t i = 0; i < crowd->options->members; i++)
        missed += crowd->said + 1 - crowd->members[i].next;
    return missed;
}

static void tell(const char *what)
{
    puts(what);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    const int64_t x = ((const struct member *)a)->took,
                  y = ((const struct member *)b)->took;

    return x < y ? -1 : x > y;
}

struct result {
    double seconds, p50_ms, p99_ms, own, server, broker;
    uint64_t missed, came;
};

static void report(const struct crowd *crowd, const struct result *r)
{
    const struct options *o = crowd->options;

    printf(o->json
               ? "{\"members\": %zu, \"missed\": %" PRIu64 ", \"came\": %" PRIu64
                 ", \"seconds\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
                 "\"server_cpu_seconds\": %.6f, \"broker_cpu_seconds\": %.6f, "
                 "\"generator_cpu_seconds\": %.6f}\n"
               : "%zu members missed %" PRIu64 " messages, got %" PRIu64
                 ", in %.3f s; each of them p50 %.1f ms, p99 %.1f ms; CPU of the server "
                 "%.3f s, of the broker %.3f s, own %.3f s\n",
           o->members, r->missed, r->came, r->seconds, r->p50_ms, r->p99_ms, r->server,
           r->broker, r->own);
}

static void read_pids(pid_t *server, pid_t *broker)
{
    char line[64], *end;

    if (fgets(line, sizeof line, stdin) == NULL)
        die("nobody says who the server and the broker are");
    *server = (pid_t)strtol(line, &end, 10);
    *broker = (pid_t)strtol(end, NULL, 10);
    if (*server <= 0 || *broker <= 0)
        die("two process ids are wanted");
}

static void come_back(struct crowd *crowd, struct result *result)
{
    const size_t members = crowd->options->members;
    const size_t half = members / 2, most = members * 99 / 100;
    struct clocks from, to, broker_from, broker_to;
    pid_t server, broker;

    read_pids(&server, &broker);
    broker_from = read_clocks(broker);
    from = read_clocks(server);
    open_all(crowd);
    to = read_clocks(server);
    broker_to = read_clocks(broker);
    result->came = crowd->delivered;
    publish(crowd, 1, true); /* all hear what is new, and nothing twice */
    qsort(crowd->members, members, sizeof *crowd->members, compare);
    result->seconds = (double)(to.wall - from.wall) / NS_PER_S;
    result->p50_ms = (double)crowd->members[half].took / 1e6;
    result->p99_ms = (double)crowd->members[most].took / 1e6;
    result->own = (double)(to.own - from.own) / NS_PER_S;
    result->server = (double)(to.server - from.server) / NS_PER_S;
    result->broker = (double)(broker_to.server - broker_from.server) / NS_PER_S;
}

static void run(struct crowd *crowd)
{
    const struct options *o = crowd->options;
    struct result result;

    crowd->members = must_alloc(o->members, sizeof *crowd->members);
    for (size_t i = 0; i < o->members; i++) {
        crowd->members[i].crowd = crowd;
        crowd->members[i].next = 1;
    }
    open_publisher(crowd);
    open_all(crowd);
    publish(crowd, o->heard, true);
    tell("ready");
    await_end(crowd);
    publish(crowd, o->missed, false);
    tell("published");
    forget(crowd);
    result.missed = count_missed(crowd);
    come_back(crowd, &result);
    report(crowd, &result);
    for (size_t i = 0; i < o->members; i++) {
        wire_close(&crowd->members[i].wire);
        v1_reader_fini(&crowd->members[i].reader);
    }
    wire_close(&crowd->publisher.wire);
    v1_reader_fini(&crowd->publisher.reader);
    free(crowd->members);
}

/* ---- command line ---- */

static const char usage[] =
    "usage: comeback [options] ws://ADDRESS:PORT/PATH,ws://ADDRESS:PORT/PATH\n"
    "The node that will be killed, and the one where is published.\n"
    "  --members N     connections (10000)\n"
    "  --heard N       messages before; each has heard another number of them (10)\n"
    "  --missed N      messages while the node is gone (20)\n"
    "  --in-flight N   that come back at one time (200)\n"
    "  --payload BYTES of each message, beside its number (90)\n"
    "  --json          print the result as one JSON object\n";

enum { MEMBERS, HEARD, MISSED, IN_FLIGHT, PAYLOAD, JSON, HELP };

static const struct option option_table[] = {
    {"members", required_argument, NULL, MEMBERS},
    {"heard", required_argument, NULL, HEARD},
    {"missed", required_argument, NULL, MISSED},
    {"in-flight", required_argument, NULL, IN_FLIGHT},
    {"payload", required_argument, NULL, PAYLOAD},
    {"json", no_argument, NULL, JSON},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    char *url = (char *)parse_options(values, option_table, usage, argc, argv);
    char *other = url != NULL ? strchr(url, ',') : NULL;

    *o = (struct options){
        .members = (size_t)number_or(values[MEMBERS], 10000),
        .heard = (size_t)number_or(values[HEARD], 10),
        .missed = (size_t)number_or(values[MISSED], 20),
        .in_flight = (size_t)number_or(values[IN_FLIGHT], 200),
        .payload = (size_t)number_or(values[PAYLOAD], 90),
        .node = {.extensions = V1_OFFER},
        .other = {.extensions = V1_OFFER},
        .json = values[JSON] != NULL,
    };
    if (other != NULL)
        *other++ = '\0';
    parse_url(&o->node, url);
    parse_url(&o->other, other);
    if (o->members == 0 || o->members > 100000 || o->in_flight == 0)
        die("--members must be 1 to 100000, --in-flight at least 1");
    if (o->heard == 0 || o->missed == 0 || o->heard + o->missed >= MESSAGES_MAX)
        die("--heard and --missed must be at least 1, and below 2000 together");
    if (o->payload == 0 || o->payload > PAYLOAD_MAX)
        die("--payload must be 1 to 4096");
}

int main(int argc, char **argv)
{
    static struct crowd crowd;
    struct options options;

    parse(&options, argc, argv);
    crowd.options = &options;
    crowd.epoll_fd = must_epoll();
    raise_fd_limit();
    run(&crowd);
    close(crowd.epoll_fd);
    return 0;
}
