/* SPDX-License-Identifier: MIT */
#include "nats_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "brokers.h"

static void give_up(const char *what)
{
    fprintf(stderr, "the NATS server: %s\n", what);
    exit(2);
}

/* What it logs later is little enough for the pipe. */
static void wait_until_ready(const struct nats_server *server)
{
    char text[16384];
    size_t len = 0;
    ssize_t n;

    while (len < sizeof text - 1 &&
           (n = read(server->log, text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "Server is ready") != NULL)
            return;
    }
    text[len] = '\0';
    fprintf(stderr, "%s\n", text);
    give_up("it does not start");
}

static void spawn(struct nats_server *server)
{
    int log[2];

    if (pipe(log) < 0)
        give_up(strerror(errno));
    server->pid = fork();
    if (server->pid == 0) {
        sigset_t none;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        dup2(log[1], 1);
        dup2(log[1], 2);
        close(log[0]);
        close(log[1]);
        execvp(server->args[0], (char **)(uintptr_t)server->args);
        _exit(127);
    }
    close(log[1]);
    server->log = log[0];
    wait_until_ready(server);
}

void nats_start(struct nats_server *server, bool jetstream, const char *const *more)
{
    static char ports[16][8];
    static unsigned used;
    char *port = ports[used++ % 16];
    int n = 0;

    memset(server, 0, sizeof *server);
    server->port = free_port();
    snprintf(port, 8, "%u", server->port);
    snprintf(server->dir, sizeof server->dir, "/tmp/wsock-nats-XXXXXX");
    if (mkdtemp(server->dir) == NULL)
        give_up(strerror(errno));
    server->args[n++] = "nats-server";
    server->args[n++] = "-a";
    server->args[n++] = "127.0.0.1";
    server->args[n++] = "-p";
    server->args[n++] = port;
    if (jetstream) {
        server->args[n++] = "-js";
        server->args[n++] = "-sd";
        server->args[n++] = server->dir;
    }
    for (; more != NULL && *more != NULL; more++)
        server->args[n++] = *more;
    server->args[n] = NULL;
    spawn(server);
}

void nats_again(struct nats_server *server)
{
    spawn(server);
}

static void end_by(struct nats_server *server, int signal)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, signal);
    kill(server->pid, SIGCONT);
    waitpid(server->pid, NULL, 0);
    close(server->log);
    server->pid = 0;
}

void nats_kill(struct nats_server *server)
{
    end_by(server, SIGKILL);
}

void nats_quit(struct nats_server *server)
{
    end_by(server, SIGTERM);
}

void nats_files(const struct nats_server *server, const char *what)
{
    char command[512];
    const char *dir = server->dir;

    if (strcmp(what, "copy") == 0)
        snprintf(command, sizeof command, "cp -a '%s' '%s.copy'", dir, dir);
    else if (strcmp(what, "put back") == 0)
        snprintf(command, sizeof command, "rm -rf '%s' && mv '%s.copy' '%s'", dir, dir,
                 dir);
    else
        snprintf(command, sizeof command, "rm -rf '%s'/*", dir);
    if (system(command) != 0)
        give_up(what);
}

void nats_end(struct nats_server *server)
{
    nats_kill(server);
    nats_files(server, "remove");
    rmdir(server->dir);
}
