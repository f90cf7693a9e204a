/* SPDX-License-Identifier: MIT */
/* The proxy: one thread, which polls. */
#include "chaos.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 16, PIPE_BYTES = 4096, LATE_MS = 3 };

/* One direction. */
struct pipe {
    char data[PIPE_BYTES];
    size_t start, len;
    int64_t due_ms; /* of the next piece */
    bool ended;     /* nothing more comes */
    bool told;      /* and the other end knows */
};

struct pair {
    int fd[2];           /* the client, the server */
    struct pipe pipe[2]; /* from fd[i] to the other */
    int64_t left;        /* bytes until it is cut */
};

struct chaos {
    pthread_t thread;
    const char *upstream;
    int listener, wake;
    uint64_t random;
    struct pair *pairs[PAIRS_MAX];
    int cuts;
    atomic_bool calm, quit;
};

/* xorshift64*: what matters is that a seed gives the same again. */
static uint64_t draw(struct chaos *chaos, uint64_t below)
{
    uint64_t x = chaos->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    chaos->random = x;
    return (x * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below;
}

/* ---- beginning and ending of a pair ---- */

static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void drop(struct pair **slot)
{
    close((*slot)->fd[0]);
    close((*slot)->fd[1]);
    free(*slot);
    *slot = NULL;
}

/* Either end may be told by a reset, or by an end of stream after what has passed. */
static void cut(struct chaos *chaos, struct pair **slot)
{
    const uint64_t how = draw(chaos, 4);

    if ((how & 1) != 0)
        reset((*slot)->fd[0]);
    if ((how & 2) != 0)
        reset((*slot)->fd[1]);
    drop(slot);
    tell(&chaos->cuts);
}

/* A request is some 150 bytes, an answer some 130: a third ends within. */
static int64_t length_of_life(struct chaos *chaos)
{
    switch (draw(chaos, 6)) {
    case 0:
        return 0;
    case 1:
        return (int64_t)draw(chaos, 400);
    case 2:
        return 280 + (int64_t)draw(chaos, 300); /* the first frames */
    default:
        return 300 + (int64_t)draw(chaos, 20000);
    }
}

/* Pieces leave as pieces, and none waits for an acknowledgement. */
static int prepared(int fd)
{
    const int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void take(struct chaos *chaos)
{
    struct pair **slot = chaos->pairs;
    const int fd = accept4(chaos->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    while (slot < chaos->pairs + PAIRS_MAX && *slot != NULL)
        slot++;
    if (slot == chaos->pairs + PAIRS_MAX) {
        close(fd);
        return;
    }
    *slot = calloc(1, sizeof **slot);
    CHECK(*slot != NULL);
    (*slot)->fd[0] = prepared(fd);
    (*slot)->fd[1] = prepared(raw_connect(chaos->upstream));
    (*slot)->left = length_of_life(chaos);
    if ((*slot)->left == 0 && !atomic_load(&chaos->calm))
        cut(chaos, slot);
}

/* ---- bytes ---- */

/* @return false when the pair is gone. */
static bool receive(struct pair **slot, int from)
{
    struct pipe *pipe = &(*slot)->pipe[from];
    const ssize_t n = recv((*slot)->fd[from], pipe->data, sizeof pipe->data, 0);

    if (n < 0 && errno != EAGAIN) {
        reset((*slot)->fd[!from]); /* as it was told */
        drop(slot);
        return false;
    }
    pipe->ended = n == 0;
    pipe->start = 0;
    pipe->len = n > 0 ? (size_t)n : 0;
    return true;
}

/* @return false when the pair is gone. */
static bool pass_on(struct chaos *chaos, struct pair **slot, int from)
{
    struct pair *pair = *slot;
    struct pipe *pipe = &pair->pipe[from];
    size_t len = draw(chaos, 2) != 0 ? pipe->len : 1 + draw(chaos, pipe->len);
    ssize_t n;

    if (!atomic_load(&chaos->calm) && (int64_t)len > pair->left)
        len = (size_t)pair->left; /* a truncated frame, maybe */
    n = len > 0 ? send(pair->fd[!from], pipe->data + pipe->start, len, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) {
        drop(slot);
        return false;
    }
    if (n > 0) {
        pipe->start += (size_t)n;
        pipe->len -= (size_t)n;
        pair->left -= n;
    }
    if (pair->left <= 0 && !atomic_load(&chaos->calm)) {
        cut(chaos, slot);
        return false;
    }
    pipe->due_ms = now_ms() + (draw(chaos, 8) == 0 ? (int64_t)draw(chaos, LATE_MS) : 0);
    return true;
}

/* @return false when the pair is gone. */
static bool pass_end_on(struct pair **slot, int from)
{
    struct pair *pair = *slot;

    if (pair->pipe[from].ended && pair->pipe[from].len == 0 && !pair->pipe[from].told) {
        shutdown(pair->fd[!from], SHUT_WR);
        pair->pipe[from].told = true;
    }
    if (!pair->pipe[0].told || !pair->pipe[1].told)
        return true;
    drop(slot);
    return false;
}

static short wanted(const struct pair *pair, int end, int64_t now)
{
    const struct pipe *in = &pair->pipe[end], *out = &pair->pipe[!end];

    return (short)((in->len == 0 && !in->ended ? POLLIN : 0) |
                   (out->len > 0 && out->due_ms <= now ? POLLOUT : 0));
}

static void run_pair(struct chaos *chaos, struct pair **slot,
                     const struct pollfd ready[2])
{
    const int64_t now = now_ms();

    for (int end = 0; end < 2; end++) {
        const short events = (short)(ready[end].revents |
                                     ((ready[end].revents & (POLLHUP | POLLERR)) != 0
                                          ? POLLIN | POLLOUT
                                          : 0));
        const short due = (short)(wanted(*slot, end, now) & events);

        if ((due & POLLIN) != 0 && !receive(slot, end))
            return;
        if ((due & POLLOUT) != 0 && !pass_on(chaos, slot, !end))
            return;
        if (!pass_end_on(slot, end))
            return;
    }
}

/* ---- the thread ---- */

static int fill(const struct chaos *chaos, struct pollfd *fds)
{
    const int64_t now = now_ms();
    int64_t wait = -1;

    fds[0] = (struct pollfd){.fd = chaos->listener, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = chaos->wake, .events = POLLIN};
    for (int i = 0; i < PAIRS_MAX; i++) {
        const struct pair *pair = chaos->pairs[i];

        for (int end = 0; end < 2; end++) {
            struct pollfd *fd = &fds[2 + 2 * i + end];

            *fd = (struct pollfd){.fd = -1};
            if (pair == NULL)
                continue;
            fd->events = wanted(pair, end, now);
            if (fd->events != 0)
                fd->fd = pair->fd[end]; /* else a hangup would be told for ever */
            if (pair->pipe[end].len > 0 && pair->pipe[end].due_ms > now)
                wait = wait < 0 || pair->pipe[end].due_ms - now < wait
                           ? pair->pipe[end].due_ms - now
                           : wait;
        }
    }
    return (int)wait;
}

static void *run(void *user)
{
    struct chaos *chaos = user;
    struct pollfd fds[2 + 2 * PAIRS_MAX];

    while (!atomic_load(&chaos->quit)) {
        poll(fds, sizeof fds / sizeof fds[0], fill(chaos, fds));
        for (int i = 0; i < PAIRS_MAX; i++)
            if (chaos->pairs[i] != NULL)
                run_pair(chaos, &chaos->pairs[i], &fds[2 + 2 * i]);
        if (fds[0].revents != 0)
            take(chaos);
    }
    return NULL;
}

struct chaos *chaos_begin(const char *upstream, uint64_t seed, char *url, size_t size)
{
    struct chaos *chaos = calloc(1, sizeof *chaos);

    assert_non_null(chaos);
    chaos->upstream = upstream;
    chaos->random = seed * 2 + 1; /* not 0 */
    chaos->listener = raw_listen(url, size, 64);
    fcntl(chaos->listener, F_SETFL, O_NONBLOCK);
    chaos->wake = eventfd(0, EFD_CLOEXEC);
    assert_true(chaos->wake >= 0);
    assert_int_equal(pthread_create(&chaos->thread, NULL, run, chaos), 0);
    return chaos;
}

int *chaos_cuts(struct chaos *chaos)
{
    return &chaos->cuts;
}

void chaos_calm(struct chaos *chaos)
{
    atomic_store(&chaos->calm, true);
}

void chaos_end(struct chaos *chaos)
{
    const uint64_t one = 1;

    atomic_store(&chaos->quit, true);
    assert_int_equal(write(chaos->wake, &one, sizeof one), sizeof one);
    pthread_join(chaos->thread, NULL);
    for (int i = 0; i < PAIRS_MAX; i++)
        if (chaos->pairs[i] != NULL)
            drop(&chaos->pairs[i]);
    close(chaos->listener);
    close(chaos->wake);
    free(chaos);
}
