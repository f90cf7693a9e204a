/* SPDX-License-Identifier: MIT */
/*
 * SIGHUP at `wsock serve`: the files of TLS are read again. Only a server that speaks TLS
 * takes it so; any other ends with its terminal, as programs do.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "serve.h"
#include "tool.h"

static pthread_t thread;
static int log_level; /* -1: the library's default */
static int is_running;
static atomic_int is_over;

static void only_hangup(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
}

void reload_block(void)
{
    sigset_t set;

    only_hangup(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Who sent the signal sees one line in any case: where the log's level leaves it out,
 * this one. */
static void reload(wsock_server *server)
{
    const int r = wsock_server_reload(server);

    if (r == 0 && log_level < WSOCK_LOG_INFO)
        fputs("wsock serve: reloaded\n", stderr);
    else if (r < 0 && log_level == 0)
        fail("serve", "cannot reload: %s", wsock_server_error(server));
}

static void *wait_for_signals(void *user)
{
    wsock_server *server = user;
    sigset_t set;
    int number = 0;

    only_hangup(&set);
    while (sigwait(&set, &number) == 0 && !atomic_load(&is_over))
        reload(server);
    return NULL;
}

int reload_start(wsock_server *server, int level)
{
    log_level = level;
    if (pthread_create(&thread, NULL, wait_for_signals, server) != 0)
        return fail("serve", "cannot start a thread");
    is_running = 1;
    return 0;
}

void reload_stop(void)
{
    if (!is_running)
        return;
    atomic_store(&is_over, 1);
    pthread_kill(thread, SIGHUP);
    pthread_join(thread, NULL);
}
