/* SPDX-License-Identifier: MIT */
/*
 * bench_rooms [MEMBERS]: what rooms cost, over connections of this process on a Unix
 * socket: joining and leaving, publishing to nobody with and without history, coming back
 * with a position; and a message for each member that reads, and for each that does not,
 * by the policy for slow members. CPU time of all threads but the one that reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <wsock/wsock.h>

#include "support.h"

enum { MEMBERS = 200, MEMBERS_MAX = 2000, PAYLOAD = 100, ROUNDS = 5 };

static struct {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_conn *conn[MEMBERS_MAX];
    int fd[MEMBERS_MAX];
    int count;
    atomic_int opened;
    atomic_bool reads, quit; /* the reader takes what comes */
    atomic_llong taken;      /* bytes */
    pthread_t reader;
    char path[64];
} bench;

static void check(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench_rooms: %s: %s\n", what, wsock_strerror(r));
    exit(1);
}

static void on_open(wsock_conn *conn, void *user)
{
    const int index = atomic_load(&bench.opened);

    (void)user;
    bench.conn[index] = wsock_conn_ref(conn);
    atomic_store(&bench.opened, index + 1);
}

/* ---- members ---- */

static int open_member(void)
{
    static const char request[] = "GET /m HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[1024];
    size_t len = 0;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", bench.path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        write(fd, request, sizeof request - 1) < 0)
        die_errno("connect");
    while (len < 4 || memcmp(answer + len - 4, "\r\n\r\n", 4) != 0)
        if (len == sizeof answer || read(fd, answer + len++, 1) != 1)
            die("no answer");
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        die_errno("fcntl");
    return fd;
}

static void *read_all(void *user)
{
    struct pollfd fds[MEMBERS_MAX];
    static char sink[256 * 1024];

    (void)user;
    for (int i = 0; i < bench.count; i++)
        fds[i] = (struct pollfd){.fd = bench.fd[i], .events = POLLIN};
    while (!atomic_load(&bench.quit)) {
        if (poll(fds, (nfds_t)bench.count, 1) <= 0 || !atomic_load(&bench.reads))
            continue;
        for (int i = 0; i < bench.count; i++) {
            ssize_t n;

            while (fds[i].revents != 0 && (n = read(fds[i].fd, sink, sizeof sink)) > 0)
                atomic_fetch_add(&bench.taken, n);
        }
    }
    return NULL;
}

static int64_t own_ns(void)
{
    clockid_t reader;

    pthread_getcpuclockid(bench.reader, &reader);
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - clock_ns(reader);
}

/* Until all that is queued has been taken, or cannot be. */
static void settle(bool reads)
{
    size_t before = SIZE_MAX;
    int same = 0;

    while (same < 20) {
        size_t now = 0;

        poll(NULL, 0, 1);
        for (int i = 0; i < bench.count; i++)
            now += wsock_conn_buffered(bench.conn[i]);
        same = now == before ? same + 1 : 0;
        before = now;
        if (reads && now > 0)
            same = 0;
    }
}

/* ---- what is measured ---- */

static wsock_room *make_room(const char *name, const char *option, const char *value)
{
    const char *const options[] = {option, value, NULL};
    wsock_room *room = NULL;

    check(wsock_server_make_room(bench.server, &room, name, options), name);
    return room;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void report(const char *what, double *ns)
{
    qsort(ns, ROUNDS, sizeof *ns, compare);
    printf("| %s | %.0f (%.0f to %.0f) |\n", what, ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1]);
}

static void measure_joins(const char *what, const char *option, const char *value,
                          int missed)
{
    enum { TURNS = 20 };
    wsock_room *room = make_room(what, option, value);
    const wsock_position first = {.size = sizeof first};
    double ns[ROUNDS];

    for (int i = 0; i < missed; i++)
        check(wsock_room_broadcast(room, WSOCK_BINARY, bench.path, 20), what);
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t begun = own_ns();

        for (int turn = 0; turn < TURNS; turn++) {
            for (int i = 0; i < bench.count; i++)
                check(wsock_room_join_since(room, bench.conn[i], &first, NULL), what);
            for (int i = 0; i < bench.count; i++)
                check(wsock_room_leave(room, bench.conn[i]), what);
        }
        settle(true);
        ns[round] = (double)(own_ns() - begun) / (TURNS * bench.count);
    }
    report(what, ns);
    wsock_room_unref(room);
}

static void publish(wsock_room *room, int count)
{
    static const char data[PAYLOAD];

    for (int i = 0; i < count; i++) {
        const char key[] = {(char)('a' + i % 26), '\0'};
        const wsock_publish what = {.size = sizeof what,
                                    .data = data,
                                    .len = sizeof data,
                                    .key = key,
                                    .type = WSOCK_BINARY};
        int r;

        while ((r = wsock_room_publish(room, &what, NULL)) == WSOCK_EAGAIN)
            poll(NULL, 0, 1);
        check(r, "publish");
    }
}

static void measure_publishing(const char *what, const char *option, const char *value)
{
    enum { MESSAGES = 20000 };
    wsock_room *room = make_room(what, option, value);
    double ns[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        const int64_t begun = own_ns();

        publish(room, MESSAGES);
        ns[round] = (double)(own_ns() - begun) / MESSAGES;
    }
    report(what, ns);
    wsock_room_unref(room);
}

static void measure_fan_out(const char *what, const char *policy, bool reads)
{
    enum { MESSAGES = 2000 };
    wsock_room *room = make_room(what, "slow_members", policy);
    double ns[ROUNDS];

    for (int i = 0; i < bench.count; i++)
        check(wsock_room_join(room, bench.conn[i]), what);
    atomic_store(&bench.reads, reads);
    publish(room, MESSAGES); /* and the sockets of those that do not read are full */
    publish(room, reads ? 0 : 5000);
    settle(reads);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begun = own_ns();

        publish(room, MESSAGES);
        settle(reads);
        ns[round] = (double)(own_ns() - begun) / MESSAGES / bench.count;
    }
    report(what, ns);
    atomic_store(&bench.reads, true);
    settle(true);
    for (int i = 0; i < bench.count; i++)
        check(wsock_room_leave(room, bench.conn[i]), what);
    wsock_room_unref(room);
}

static void begin(void)
{
    wsock_endpoint *endpoint = NULL;
    char url[128];

    snprintf(bench.path, sizeof bench.path, "/tmp/bench_rooms.%d", (int)getpid());
    snprintf(url, sizeof url, "ws+unix:%s", bench.path);
    check(wsock_runtime_new(&bench.runtime), "runtime");
    check(wsock_runtime_set(bench.runtime, "workers", "1"), "workers");
    check(wsock_server_new(bench.runtime, &bench.server), "server");
    check(wsock_server_set(bench.server, "write_timeout", "off"), "write_timeout");
    check(wsock_server_set(bench.server, "max_backlog_bytes", "64MiB"), "backlog");
    check(wsock_server_endpoint(bench.server, &endpoint, "/m"), "endpoint");
    check(wsock_endpoint_on_open(endpoint, on_open, NULL, NULL), "on_open");
    check(wsock_server_listen(bench.server, url), url);
    wsock_endpoint_unref(endpoint);
    for (int i = 0; i < bench.count; i++)
        bench.fd[i] = open_member();
    while (atomic_load(&bench.opened) < bench.count)
        poll(NULL, 0, 1);
    atomic_store(&bench.reads, true);
    if (pthread_create(&bench.reader, NULL, read_all, NULL) != 0)
        die("no thread");
}

static void finish(void)
{
    atomic_store(&bench.quit, true);
    pthread_join(bench.reader, NULL);
    for (int i = 0; i < bench.count; i++) {
        close(bench.fd[i]);
        wsock_conn_unref(bench.conn[i]);
    }
    wsock_server_free(bench.server);
    wsock_runtime_free(bench.runtime);
}

int main(int argc, char **argv)
{
    bench.count = argc > 1 ? atoi(argv[1]) : MEMBERS;
    if (bench.count < 1 || bench.count > MEMBERS_MAX) {
        fprintf(stderr, "usage: bench_rooms [MEMBERS]\n");
        return 2;
    }
    raise_fd_limit();
    begin();
    printf("%d members, messages of %d bytes; CPU, medians of %d rounds\n\n"
           "| | ns (least to most) |\n|---|---|\n",
           bench.count, PAYLOAD, ROUNDS);
    measure_joins("join and leave", "max_members", "off", 0);
    measure_joins("the same, with 20 messages that were missed", "history_messages", "20",
                  20);
    measure_publishing("publish to nobody", "max_members", "off");
    measure_publishing("the same, with the last 1,000 kept", "history_messages", "1000");
    measure_fan_out("a message for a member that reads", "drop_newest", true);
    measure_fan_out("for one that does not, `drop_newest`", "drop_newest", false);
    measure_fan_out("for one that does not, `drop_oldest`", "drop_oldest", false);
    measure_fan_out("for one that does not, `latest_only`, 26 keys", "latest_only",
                    false);
    finish();
    return 0;
}
