/* SPDX-License-Identifier: MIT */
#include "brokers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef REDIS_MODULE
#include <hiredis.h>
#endif
#ifdef NATS_MODULE
#include "nats_server.h"

static struct nats_server nats;
#endif

uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        perror("free_port");
    close(fd);
    return ntohs(address.sin_port);
}

void broker_stall(pid_t pid)
{
    int status = 0;

    kill(pid, SIGSTOP);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) {
        fprintf(stderr, "the broker: it does not stop\n");
        abort();
    }
}

#ifdef REDIS_MODULE

static void give_up(const char *what)
{
    fprintf(stderr, "the broker: %s\n", what);
    exit(2);
}

/* Its log says when it takes connections; afterwards somebody has to read it all the
 * same, so it goes on into a file. */
static void wait_until_ready(int fd, pid_t pid)
{
    char text[65536];
    size_t len = 0;
    ssize_t n;

    while (len < sizeof text - 1 &&
           (n = read(fd, text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "eady to accept connections") != NULL)
            return;
    }
    text[len] = '\0';
    fprintf(stderr, "%s\n", text);
    kill(pid, SIGKILL);
    give_up("it does not start");
}

static void spawn(struct redis *redis)
{
    int log[2];

    if (pipe(log) < 0)
        give_up(strerror(errno));
    redis->pid = fork();
    if (redis->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Nobody reads on: what it says later is lost, and it must not mind. */
        signal(SIGPIPE, SIG_IGN);
        dup2(log[1], 1);
        dup2(log[1], 2);
        close(log[0]);
        close(log[1]);
        execvp(redis->args[0], (char **)(uintptr_t)redis->args);
        _exit(127);
    }
    close(log[1]);
    wait_until_ready(log[0], redis->pid);
    close(log[0]);
}

void redis_start(struct redis *redis, const char *const *more)
{
    static char texts[64][64];
    static unsigned used;
    char *port = texts[used++ % 64];
    int n = 0;

    memset(redis, 0, sizeof *redis);
    redis->port = free_port();
    snprintf(port, 64, "%u", redis->port);
    snprintf(redis->dir, sizeof redis->dir, "/tmp/wsock-redis-XXXXXX");
    if (mkdtemp(redis->dir) == NULL)
        give_up(strerror(errno));
    redis->args[n++] = "redis-server";
    for (const char *const *arg =
             (const char *const[]){"--bind", "127.0.0.1", "--save", "", "--appendonly",
                                   "no", "--dir", redis->dir, "--daemonize", "no", NULL};
         *arg != NULL; arg++)
        redis->args[n++] = *arg;
    for (; more != NULL && *more != NULL; more++)
        redis->args[n++] = strcmp(*more, "PORT") == 0 ? port : *more;
    if (more == NULL || n == 11) {
        redis->args[n++] = "--port";
        redis->args[n++] = port;
    }
    redis->args[n] = NULL;
    spawn(redis);
}

void redis_again(struct redis *redis)
{
    spawn(redis);
}

void redis_kill(struct redis *redis)
{
    if (redis->pid <= 0)
        return;
    kill(redis->pid, SIGKILL);
    kill(redis->pid, SIGCONT);
    waitpid(redis->pid, NULL, 0);
    redis->pid = 0;
}

void redis_end(struct redis *redis)
{
    char command[128];

    redis_kill(redis);
    snprintf(command, sizeof command, "rm -rf '%s'", redis->dir);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", redis->dir);
}

static void add_text(char *text, size_t size, const redisReply *reply)
{
    const size_t n = strlen(text);

    if (reply->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < reply->elements; i++)
            add_text(text, size, reply->element[i]);
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text + n, size - n, "%s%lld", n > 0 ? "\n" : "", reply->integer);
    else
        snprintf(text + n, size - n, "%s%s", n > 0 ? "\n" : "",
                 reply->str != NULL ? reply->str : "");
}

const char *redis_ask(uint16_t port, const char *password, const char *format, ...)
{
    static char text[65536];
    redisContext *context = redisConnect("127.0.0.1", port);
    char command[1024];
    redisReply *reply;
    va_list args;

    if (context == NULL || context->err != 0)
        give_up("it is not reached");
    if (password != NULL)
        freeReplyObject(redisCommand(context, "AUTH %s", password));
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    reply = redisCommand(context, command);
    if (reply == NULL)
        give_up(command);
    text[0] = '\0';
    add_text(text, sizeof text, reply);
    freeReplyObject(reply);
    redisFree(context);
    return text;
}

/* ---- a cluster ---- */

static void command_at(const struct redis *redis, const char *text)
{
    const char *answer = redis_ask(redis->port, NULL, "%s", text);

    if (strcmp(answer, "OK") != 0)
        give_up(answer);
}

static bool is_whole(const struct redis *redis)
{
    const char *info = redis_ask(redis->port, NULL, "CLUSTER INFO");

    return strstr(info, "cluster_state:ok") != NULL &&
           strstr(info, "cluster_slots_ok:16384") != NULL &&
           strstr(info, "cluster_known_nodes:3") != NULL;
}

void redis_cluster_start(struct redis redis[3])
{
    static const char *const slots[3] = {"0 5460", "5461 10922", "10923 16383"};
    static char bus_ports[3][16];
    char command[128];

    for (int i = 0; i < 3; i++) {
        snprintf(bus_ports[i], sizeof bus_ports[i], "%u", free_port());
        redis_start(&redis[i],
                    (const char *const[]){"--port", "PORT", "--cluster-enabled", "yes",
                                          "--cluster-port", bus_ports[i],
                                          "--cluster-node-timeout", "2000",
                                          "--cluster-require-full-coverage", "no", NULL});
        snprintf(command, sizeof command, "CLUSTER ADDSLOTSRANGE %s", slots[i]);
        command_at(&redis[i], command);
        snprintf(command, sizeof command, "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
        command_at(&redis[i], command);
    }
    for (int i = 1; i < 3; i++) {
        snprintf(command, sizeof command, "CLUSTER MEET 127.0.0.1 %u %s", redis[0].port,
                 bus_ports[0]);
        command_at(&redis[i], command);
    }
    /* Nobody tells when the nodes have agreed: it is asked for, a hundred times a second
     * at most. */
    for (int i = 0; i < 3; i++)
        for (int tries = 0; !is_whole(&redis[i]); tries++) {
            if (tries == 2000)
                give_up("the cluster does not come together");
            poll(NULL, 0, 10);
        }
}

void redis_cluster_end(struct redis redis[3])
{
    for (int i = 0; i < 3; i++)
        redis_end(&redis[i]);
}

static struct redis started[3];

#endif

static char url[128];

const char *broker_start(int argc, char **argv)
{
    if (strcmp(argv[0], "memory") == 0) {
        snprintf(url, sizeof url, "%s", argc > 1 ? argv[1] : "memory:test");
        return url;
    }
#ifdef REDIS_MODULE
    if (strcmp(argv[0], "redis") == 0) {
        redis_start(&started[0], NULL);
        snprintf(url, sizeof url, "redis://127.0.0.1:%u", started[0].port);
        return url;
    }
    if (strcmp(argv[0], "redis-cluster") == 0) {
        redis_cluster_start(started);
        snprintf(url, sizeof url, "redis://127.0.0.1:%u,127.0.0.1:%u", started[0].port,
                 started[1].port);
        return url;
    }
#endif
#ifdef NATS_MODULE
    if (strcmp(argv[0], "nats") == 0) {
        nats_start(&nats, true, NULL);
        snprintf(url, sizeof url, "nats://127.0.0.1:%u", nats.port);
        return url;
    }
#endif
    fprintf(stderr, "no broker is called %s here\n", argv[0]);
    return NULL;
}

void broker_stop(void)
{
#ifdef REDIS_MODULE
    for (int i = 0; i < 3; i++)
        if (started[i].pid > 0)
            redis_end(&started[i]);
#endif
#ifdef NATS_MODULE
    if (nats.pid > 0)
        nats_end(&nats);
#endif
}
