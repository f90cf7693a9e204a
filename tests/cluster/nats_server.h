/* SPDX-License-Identifier: MIT */
/* NATS servers that the tests start, and end with the test. */
#ifndef WSI_TEST_NATS_SERVER_H
#define WSI_TEST_NATS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct nats_server {
    pid_t pid;
    int log; /* its standard error: nobody else may close it */
    uint16_t port;
    char dir[64]; /* for its files, removed at the end */
    const char *args[24];
};

/** Start it and wait until it takes connections. @param more (nullable) arguments, ended
 * by NULL; JetStream is on if `jetstream`. */
void nats_start(struct nats_server *server, bool jetstream, const char *const *more);
/** The same with the same arguments, after nats_kill(). */
void nats_again(struct nats_server *server);
/** SIGKILL, and wait. */
void nats_kill(struct nats_server *server);
/** Let it finish what it has in memory. */
void nats_quit(struct nats_server *server);
void nats_end(struct nats_server *server);
/** What it has stored: copied aside, put back, removed. It must not run. */
void nats_files(const struct nats_server *server, const char *what);

#endif
