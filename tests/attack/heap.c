/* SPDX-License-Identifier: MIT */
/* The counts are of malloc_usable_size(), so blocks carry no header of ours: what a
 * sanitizer sees of a block is the block. */
#include "heap.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <wsock/wsock.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t lower;
static struct heap_figures figures;

static void account(size_t gone, size_t come)
{
    pthread_mutex_lock(&lock);
    figures.live = figures.live - gone + come;
    if (figures.live > figures.peak)
        figures.peak = figures.live;
    if (come < gone)
        pthread_cond_broadcast(&lower);
    pthread_mutex_unlock(&lock);
}

static void *count_malloc(size_t size)
{
    void *block = malloc(size);

    if (block != NULL)
        account(0, malloc_usable_size(block));
    return block;
}

/* While realloc() copies there are two blocks: both count towards the peak. */
static void *count_realloc(void *block, size_t size)
{
    const size_t before = block != NULL ? malloc_usable_size(block) : 0;
    void *moved = realloc(block, size);

    if (moved != NULL) {
        account(0, malloc_usable_size(moved));
        account(before, 0);
    }
    return moved;
}

static void count_free(void *block)
{
    const size_t size = malloc_usable_size(block);

    free(block);
    account(size, 0);
}

void heap_count(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lower, &attributes);
    pthread_condattr_destroy(&attributes);
    wsock_set_allocator(count_malloc, count_realloc, count_free);
}

struct heap_figures heap_figures(void)
{
    struct heap_figures now;

    pthread_mutex_lock(&lock);
    now = figures;
    pthread_mutex_unlock(&lock);
    return now;
}

struct heap_figures heap_mark(void)
{
    struct heap_figures now;

    pthread_mutex_lock(&lock);
    figures.peak = figures.live;
    now = figures;
    pthread_mutex_unlock(&lock);
    return now;
}

bool heap_settles(size_t limit, unsigned timeout_ms)
{
    struct timespec until;
    bool settled;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&lock);
    while (figures.live > limit && r == 0)
        r = pthread_cond_timedwait(&lower, &lock, &until);
    settled = figures.live <= limit;
    pthread_mutex_unlock(&lock);
    return settled;
}
