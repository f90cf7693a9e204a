/* SPDX-License-Identifier: MIT */
/* Brokers that the tests start, and end with the test. */
#ifndef WSI_TEST_BROKERS_H
#define WSI_TEST_BROKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** For test_bus.c: memory [URL], redis, redis-cluster. @return (borrowed) the URL; NULL
 * when it does not start. */
const char *broker_start(int argc, char **argv);
void broker_stop(void);

/** SIGSTOP, and wait until it has stopped; SIGCONT has it go on. */
void broker_stall(pid_t pid);

/* ---- Redis ---- */

enum { REDIS_ARGS_MAX = 40 };

struct redis {
    pid_t pid;
    uint16_t port;
    char dir[64]; /* for its files, removed at the end */
    const char *args[REDIS_ARGS_MAX];
};

/** A free port of 127.0.0.1. */
uint16_t free_port(void);
/** Start it and wait until it takes connections. @param more arguments, ended by NULL */
void redis_start(struct redis *redis, const char *const *more);
/** The same program with the same arguments, after redis_kill(). */
void redis_again(struct redis *redis);
/** SIGKILL, and wait. */
void redis_kill(struct redis *redis);
void redis_end(struct redis *redis);

/** Speak to it past the adapter; what fails ends the program. @param password (nullable)
 * @return the answer as text, lines of an array; until the next call. */
const char *redis_ask(uint16_t port, const char *password, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Three masters that share the slots. */
void redis_cluster_start(struct redis redis[3]);
void redis_cluster_end(struct redis redis[3]);

#endif
