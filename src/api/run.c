/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the end, with or without SIGINT and SIGTERM. A signal handler may do next
 * to nothing, so it counts and writes to an eventfd that the waiting thread reads.
 */
#include "api/run.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <wsock/error.h>

#include "api/runtime.h"
#include "api/wait.h"

static const int stop_signals[] = {SIGINT, SIGTERM};
enum { STOP_SIGNALS = sizeof stop_signals / sizeof stop_signals[0] };

/* Dispositions belong to the process, so one thread at a time may have them. */
static atomic_bool signals_taken;
static atomic_int signal_fd = -1;
static atomic_uint signals_seen;

static void on_signal(int number)
{
    const int saved = errno;
    const uint64_t one = 1;
    const int fd = atomic_load(&signal_fd);

    (void)number;
    atomic_fetch_add(&signals_seen, 1);
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* The counter is full: then it wakes its reader anyway. */
    }
    errno = saved;
}

static void take_signals(struct sigaction before[STOP_SIGNALS], int fd)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    atomic_store(&signals_seen, 0);
    atomic_store(&signal_fd, fd);
    for (int i = 0; i < STOP_SIGNALS; i++)
        sigaction(stop_signals[i], &action, &before[i]);
}

static void give_signals_back(const struct sigaction before[STOP_SIGNALS])
{
    for (int i = 0; i < STOP_SIGNALS; i++)
        sigaction(stop_signals[i], &before[i], NULL);
    atomic_store(&signal_fd, -1);
    atomic_store(&signals_taken, false);
}

static bool is_over(const void *what)
{
    const struct wsi_pool *pool = what;

    return atomic_load(&pool->stopping) && pool->live == 0;
}

static int wait_for_end(wsock_runtime *runtime, int fd, bool with_signals)
{
    unsigned handled = 0;
    uint64_t count;
    int r;

    while ((r = wsi_await(&runtime->pool, is_over, &runtime->pool, fd, -1)) > 0) {
        if (read(fd, &count, sizeof count) < 0)
            continue;
        for (; with_signals && handled < atomic_load(&signals_seen); handled++)
            wsi_runtime_stop(runtime, handled > 0);
    }
    return r;
}

/* @return 0; WSOCK_EBUSY while another thread is in it. */
static int enter(wsock_runtime *runtime)
{
    int r = 0;

    pthread_mutex_lock(&runtime->pool.lock);
    if (runtime->is_awaited)
        r = WSOCK_EBUSY;
    runtime->is_awaited = true;
    if (r == 0)
        wsi_pool_ref(&runtime->pool); /* another thread may free it behind the end */
    pthread_mutex_unlock(&runtime->pool.lock);
    return r;
}

static void leave(wsock_runtime *runtime)
{
    pthread_mutex_lock(&runtime->pool.lock);
    runtime->is_awaited = false;
    pthread_mutex_unlock(&runtime->pool.lock);
}

int wsock_runtime_run(wsock_runtime *runtime, unsigned flags)
{
    struct sigaction before[STOP_SIGNALS];
    const bool with_signals = (flags & WSOCK_RUN_SIGNALS) != 0;
    int fd = -1, r = 0;

    if (runtime == NULL || (flags & ~(unsigned)WSOCK_RUN_SIGNALS) != 0)
        return WSOCK_EINVAL;
    if (!wsi_pool_may_wait(&runtime->pool))
        return WSOCK_EDEADLK;
    if (with_signals && atomic_exchange(&signals_taken, true))
        return WSOCK_EBUSY;
    if (with_signals) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = fd < 0 ? WSOCK_ESYSTEM : 0;
    }
    if (r == 0)
        r = enter(runtime);
    if (r < 0) {
        if (with_signals)
            atomic_store(&signals_taken, false);
        if (fd >= 0)
            close(fd);
        return r;
    }
    if (with_signals)
        take_signals(before, fd);
    r = wait_for_end(runtime, fd, with_signals);
    if (with_signals)
        give_signals_back(before);
    leave(runtime);
    if (fd >= 0)
        close(fd);
    wsi_pool_unref(&runtime->pool);
    return r;
}
