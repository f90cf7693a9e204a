/* SPDX-License-Identifier: MIT */
/* What stands between a node and a broker, and does what networks and bad brokers do. */
#ifndef WSI_TEST_PROXY_H
#define WSI_TEST_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* What is answered by the proxy has this word in it, unless the test names another. */
#define PROXY_WORD "poison"

enum proxy_mode {
    PROXY_PASS,
    PROXY_CUT,    /* the connection on which `budget` bytes of the broker are used up */
    PROXY_ANSWER, /* to what has the word comes `blob`, and nothing more */
    PROXY_REPEAT, /* the same each time; the rest passes */
    PROXY_ONCE,   /* the same the first time */
    PROXY_FAKE,   /* there is no broker: whatever is said, `blob` comes, once */
};

enum { PROXY_PAIRS = 64 };

struct proxy {
    uint16_t port, to;
    atomic_int mode;
    atomic_long budget;
    const char *word;
    const char *blob; /* set before the mode */
    size_t blob_len;
    atomic_int cuts;
    int listener, wake[2];
    pthread_t thread;
    struct proxy_pair {
        int node, broker; /* -1: none */
        int said;         /* the blob was */
    } pairs[PROXY_PAIRS];
};

void proxy_start(struct proxy *proxy, uint16_t to);
void proxy_set(struct proxy *proxy, enum proxy_mode mode, const char *blob, size_t len);
void proxy_stop(struct proxy *proxy);

#endif
