/* SPDX-License-Identifier: MIT */
/*
 * A connection of a load generator: a socket, plain or with OpenSSL on it, behind one
 * pair of calls that behave like recv() and send() on a socket that does not wait.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "support.h"

struct ssl_st;

struct wire {
    int fd;
    struct ssl_st *ssl; /* NULL: plain */
};

/**
 * Connect and shake hands, one step after the other, so that no backlog overflows.
 *
 * @param head (out) RESPONSE_MAX bytes: the response's head, ended by NUL.
 */
void wire_open(struct wire *wire, const struct target *target, char *head);

/** @return as send(); EAGAIN asks for the same bytes again. */
ssize_t wire_send(struct wire *wire, const void *data, size_t len);

/** @return as recv(), of TLS one record at most. */
ssize_t wire_recv(struct wire *wire, void *data, size_t size);

/**
 * The last `unsent` bytes before `end`, as far as the socket takes them. For the rest the
 * edge of EPOLLOUT brings the caller back.
 */
void wire_send_rest(struct wire *wire, const unsigned char *end, size_t *unsent);

/* What one look at a connection received; zeroed at first. */
struct wire_bytes {
    const unsigned char *data; /* of all connections: until the next wire_next() */
    size_t len;
};

/**
 * What is there, part by part, on a socket whose edges are watched. Gives up when the
 * server has closed the connection.
 *
 * @return false when nothing more has come.
 */
bool wire_next(struct wire *wire, struct wire_bytes *got);

void wire_close(struct wire *wire);

#endif
