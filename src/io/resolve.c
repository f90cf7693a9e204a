/* SPDX-License-Identifier: MIT */
/*
 * The pool of threads that look names up.
 *
 * A job is in the queue, then with a thread, then in its loop's mailbox, and ends there.
 * One lock decides the race between a lookup that finishes and its cancellation: a loop
 * is posted to under the lock and only while the job still names it. A job that is
 * cancelled in the queue ends at once; one that a thread has is freed by the thread; one
 * that is in the mailbox is freed by the mail.
 */
#include "io/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "core/list.h"
#include "io/sockets.h"

enum { THREADS_MAX = 4, IDLE_SECONDS = 5 };

enum stage { QUEUED, RUNNING, POSTED };

struct wsi_resolve {
    struct wsi_mail mail;
    struct wsi_list node;  /* in the queue */
    struct wsi_loop *loop; /* NULL: cancelled */
    wsi_resolve_fn done;
    void *user;
    enum stage stage;
    uint16_t port;
    int error;
    size_t count;
    struct wsi_address addresses[WSI_RESOLVE_MAX];
    char why[128];
    char host[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t gone = PTHREAD_COND_INITIALIZER;
static struct wsi_list queue = {&queue, &queue};
static int threads, idle, queued;
static bool quiescing;
static wsi_lookup_fn lookup = wsi_address_getaddrinfo;

/* On the loop's thread. */
static void deliver(struct wsi_mail *mail)
{
    struct wsi_resolve *job = WSI_CONTAINER_OF(mail, struct wsi_resolve, mail);
    struct wsi_loop *loop;

    pthread_mutex_lock(&lock);
    loop = job->loop;
    pthread_mutex_unlock(&lock);
    if (loop != NULL)
        job->done(job->user, job->addresses, job->count, job->error, job->why);
    wsi_free(job);
}

static void look_up(struct wsi_resolve *job, wsi_lookup_fn fn)
{
    size_t count = 0;

    errno = 0;
    job->error = fn(job->host, job->port, job->addresses, WSI_RESOLVE_MAX, &count);
    if (job->error == 0)
        job->count = count;
    else
        snprintf(job->why, sizeof job->why, "%s",
                 job->error == EAI_SYSTEM ? strerror(errno) : gai_strerror(job->error));
}

/* Under the lock. @return NULL when the thread has nothing more to do. */
static struct wsi_resolve *next_job(void)
{
    struct wsi_list *node;
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_SECONDS;
    idle++;
    while (wsi_list_is_empty(&queue) && !quiescing && r == 0)
        r = pthread_cond_timedwait(&work, &lock, &until);
    idle--;
    node = wsi_list_pop(&queue);
    if (node == NULL)
        return NULL;
    queued--;
    return WSI_CONTAINER_OF(node, struct wsi_resolve, node);
}

static void *helper(void *user)
{
    struct wsi_resolve *job;

    (void)user;
    pthread_mutex_lock(&lock);
    while ((job = next_job()) != NULL) {
        const wsi_lookup_fn fn = lookup;

        job->stage = RUNNING;
        pthread_mutex_unlock(&lock);
        look_up(job, fn);
        pthread_mutex_lock(&lock);
        job->stage = POSTED;
        if (job->loop != NULL)
            wsi_loop_post(job->loop, &job->mail);
        else
            wsi_free(job);
    }
    threads--;
    pthread_cond_broadcast(&gone);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Under the lock. Signals are the application's: a helper takes none. */
static bool start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int r;

    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attr, helper, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r == 0)
        threads++;
    return r == 0;
}

/* The loop's sockets know all names themselves: nobody else is asked. */
static bool know_already(struct wsi_resolve *job)
{
    void *state;
    const struct wsi_sockets *sockets = wsi_loop_sockets(job->loop, &state);

    if (sockets->lookup == NULL)
        return false;
    job->stage = POSTED;
    job->count = sockets->lookup(state, job->host, job->port, &job->addresses[0]);
    wsi_loop_post(job->loop, &job->mail);
    return true;
}

static struct wsi_resolve *new_job(struct wsi_loop *loop, const char *host, uint16_t port,
                                   wsi_resolve_fn done, void *user)
{
    const size_t len = strlen(host);
    struct wsi_resolve *job = wsi_zalloc(sizeof *job + len + 1);

    if (job == NULL)
        return NULL;
    memcpy(job->host, host, len + 1);
    job->mail.run = deliver;
    job->loop = loop;
    job->port = port;
    job->done = done;
    job->user = user;
    return job;
}

int wsi_resolve_start(struct wsi_resolve **out, struct wsi_loop *loop, const char *host,
                      uint16_t port, wsi_resolve_fn done, void *user)
{
    struct wsi_resolve *job = new_job(loop, host, port, done, user);
    bool served = true;

    if (job == NULL)
        return WSOCK_ENOMEM;
    if (know_already(job)) {
        *out = job;
        return 0;
    }
    pthread_mutex_lock(&lock);
    if (queued >= idle && threads < THREADS_MAX && !start_thread())
        served = threads > 0;
    if (served) {
        wsi_list_append(&queue, &job->node);
        queued++;
        pthread_cond_signal(&work);
        *out = job;
    }
    pthread_mutex_unlock(&lock);
    if (!served) {
        wsi_free(job);
        return WSOCK_ENOMEM;
    }
    return 0;
}

void wsi_resolve_cancel(struct wsi_resolve *job)
{
    bool unstarted;

    pthread_mutex_lock(&lock);
    unstarted = job->stage == QUEUED;
    if (unstarted) {
        wsi_list_remove(&job->node);
        queued--;
    }
    job->loop = NULL;
    pthread_mutex_unlock(&lock);
    if (unstarted)
        wsi_free(job);
}

void wsi_resolve_set_lookup(wsi_lookup_fn fn)
{
    pthread_mutex_lock(&lock);
    lookup = fn != NULL ? fn : wsi_address_getaddrinfo;
    pthread_mutex_unlock(&lock);
}

void wsi_resolve_quiesce(void)
{
    pthread_mutex_lock(&lock);
    quiescing = true;
    pthread_cond_broadcast(&work);
    while (threads > 0)
        pthread_cond_wait(&gone, &lock);
    quiescing = false;
    pthread_mutex_unlock(&lock);
}
