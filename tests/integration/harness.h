/* SPDX-License-Identifier: MIT */
/*
 * What the integration tests share: a server and clients of the library under test,
 * counts that handlers raise and tests wait for, and the other end of a connection as a
 * plain socket that does what it should not. Waiting is for an event, with a deadline
 * that only a failure reaches; nothing sleeps.
 */
#ifndef WSI_TEST_HARNESS_H
#define WSI_TEST_HARNESS_H

#include "test.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

/* ---- counts and checks ---- */

/** An assertion for handlers, which may not leave by longjmp: the end of the world fails.
 */
#define CHECK(what) harness_check((what) ? 1 : 0, #what, __FILE__, __LINE__)
void harness_check(int good, const char *what, const char *file, int line);
/** Fails when a CHECK did; for tests that have no world. */
void harness_checked(void);

/** Raise a count (any thread); wait until it is at least `least`; read it. Waiting in
 * vain says for what, where, and what came, and ends the process. */
void tell(int *count);
void tell_by(int *count, int by);
#define await(count, least) harness_await((count), (least), #count, __FILE__, __LINE__)
void harness_await(const int *count, int least, const char *what, const char *file,
                   int line);
int told(const int *count);
/** Wait for a count that is expected not to come. @return whether it stayed below. */
bool stays_below(const int *count, int least, int ms);

/** Milliseconds of the monotonic clock; CPU milliseconds of this process. */
int64_t now_ms(void);
int64_t cpu_ms(void);

/** A free function that counts: user is an int. */
void free_counted(void *user);

/* ---- an end of connections, with handlers that write down what happens ---- */

struct side {
    int requests, cancelled, opened, messages, pongs, drained, closed;
    wsock_conn *conn; /* a reference to the last one that opened */
    /* the last on_close */
    int cause, code, http_status, sys_errno, began, was_opened, tls_error, tls_alert;
    char reason[128], detail[256];
    /* the last message or pong */
    int type;
    size_t len;
    char data[256];
    bool echo; /* answer messages with themselves */
};

void side_endpoint(struct side *side, wsock_endpoint *endpoint);
void side_client(struct side *side, wsock_client *client);
/** Drop the connection that it holds. */
void side_fini(struct side *side);

/* The handlers, for tests that replace some of them. */
void side_on_open(wsock_conn *conn, void *user);
void side_on_message(wsock_conn *conn, int type, const void *data, size_t len,
                     void *user);
void side_on_pong(wsock_conn *conn, const void *data, size_t len, void *user);
void side_on_drain(wsock_conn *conn, void *user);
void side_on_close(wsock_conn *conn, const wsock_close_info *info, void *user);
void side_on_cancelled(wsock_request *request, void *user);

/* ---- a runtime with a server ---- */

struct world {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *endpoint; /* "/test" */
    struct side side;         /* of the endpoint */
    char url[256];            /* of the first listener, with the real port */
    int stopped;
    wsock_queue *queue; /* (nullable) that the server is on */
};

/** @param workers 0: two. */
void world_begin(struct world *world, int workers);
/** The same, and the handlers of its server run on a queue of this thread. */
void world_begin_queued(struct world *world, int workers);
/** @param url (nullable) NULL: a free port of 127.0.0.1. */
void world_listen(struct world *world, const char *url);
/** A client of the endpoint, not connected yet. */
wsock_client *world_client(struct world *world, struct side *side);
/** One connection of such a client, open at both ends. */
void world_connect(struct world *world, wsock_client *client, struct side *side);
/** Stop and release everything; fails when a CHECK failed. */
void world_end(struct world *world);
/** Dispatch until a count is at least `least`; else as await(). */
#define dispatch_until(queue, count, least) \
    harness_dispatch((queue), (count), (least), #count, __FILE__, __LINE__)
void harness_dispatch(wsock_queue *queue, const int *count, int least, const char *what,
                      const char *file, int line);
/** As world_connect() for a server on a queue, which it dispatches. */
void world_connect_queued(struct world *world, wsock_client *client, struct side *side);
/** A free path for a Unix socket. */
const char *world_unix_path(void);

/* ---- a peer that is only a socket ---- */

/** Connect to ws://a.b.c.d:port, ws://[v6]:port or ws+unix:/path; wss is taken for ws.
 *  @return its fd. */
int raw_connect(const char *url);
void raw_send(int fd, const void *data, size_t len);
void raw_text(int fd, const char *text);
/** Read until the end of the stream, or of the head. @return bytes; text is terminated.
 */
size_t raw_read_all(int fd, char *out, size_t size);
size_t raw_read_head(int fd, char *out, size_t size);
/** Read exactly that much. @return less at the end of the stream. */
size_t raw_read(int fd, void *out, size_t len);
/** Connect, send the text, read the answer to its end. @return its status. */
int raw_http(const char *url, const char *request, char *out, size_t size);
/** Ask for a WebSocket on path, with more header lines. @return the status. */
int raw_upgrade(int fd, const char *path, const char *headers);
/** Connect and upgrade on "/test". */
int raw_open(const char *url);

/** Send a frame as a client does; byte0 has FIN (0x80) and the opcode. */
void raw_frame(int fd, unsigned byte0, const void *data, size_t len);
/** Only its header, of a length that need not follow. */
void raw_frame_header(int fd, unsigned byte0, uint64_t len);
void raw_close_frame(int fd, unsigned code);

/** Receive one frame. @return its first byte, 0 at the end of the stream, -1 when it was
 *  reset. The payload is cut to size. */
int raw_receive(int fd, void *out, size_t size, size_t *len);
/** Skip frames up to the close frame. @return its code, 1005 without one, 1006 when the
 *  stream ended first. */
int raw_receive_close(int fd);
/** The stream ends, by FIN or RST, and nothing more comes. */
bool raw_is_ended(int fd);

/** A listening socket for clients of the library. @param url (out) where it is. */
int raw_listen(char *url, size_t size, int backlog);
int raw_accept(int fd);
/** Read a request, and accept it with more header lines. */
void raw_answer_open(int fd, const char *headers);
/** The same for who comes next. */
int raw_accept_open(int fd, const char *headers);
/** The answer to a Sec-WebSocket-Key. */
void raw_accept_key(const char *request, char out[32]);

#endif
