/* SPDX-License-Identifier: MIT */
/*
 * Within `wsock connect`: what the arguments say (connect_arguments.c), what comes from
 * the connection's worker (connect_link.c), and what goes to and comes from standard
 * input and output (connect_io.c). connect.c decides.
 */
#ifndef CONNECT_H
#define CONNECT_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include <wsock/wsock.h>

#include "tool.h"

/* ---- connect_arguments.c ---- */

enum { CONNECT_LIST_MAX = 64 };

struct made;

/* What the arguments say. Lists end with NULL. */
struct connect_plan {
    struct made *made; /* of texts that the lists have */
    const char *url;
    const char *headers[CONNECT_LIST_MAX + 1]; /* "Name: value" */
    const char *subprotocols[CONNECT_LIST_MAX + 1];
    const char *sets[CONNECT_LIST_MAX + 1];  /* "name=value" */
    const char *texts[CONNECT_LIST_MAX + 1]; /* -x */
    int64_t wait_ms;                         /* -w, 0: none */
    int64_t count;                           /* --count, 0: none */
    const char *ca, *cert, *key;             /* (nullable) files */
    int is_insecure;
    struct way way;
    int is_whole; /* -b */
    int is_json;
    int is_verbose;
    int is_kept; /* --reconnect */
};

/** @param plan all zero. @return -1 to go on, else the exit status. */
int connect_read_arguments(struct connect_plan *plan, int argc, char **argv);
void connect_plan_fini(struct connect_plan *plan);

/* ---- connect_link.c ---- */

struct message {
    struct message *next;
    int type;
    size_t len;
    char data[];
};

/* How a connection ended; a copy of wsock_close_info. */
struct outcome {
    int32_t cause;
    int32_t code;
    int32_t http_status;
    int32_t began;
    int32_t opened;
    char reason[128];
    char detail[512];
};

/* A connection that is kept is gone; the next begins when the time is over. Those that
 * follow each other faster than they are told are told all the same, but for the oldest
 * when the output stands still. */
enum { WAITS_MAX = 16 };

struct wait {
    int64_t ms;
    struct outcome before;
    wsock_conn *ended; /* (owned) that one */
};

/*
 * One connection, or with --reconnect a client that keeps one up, as the main thread sees
 * it. The worker fills it under the lock and wakes the main thread through wake_fd;
 * messages wait here until they are printed, and the connection is not read while too
 * many wait.
 */
struct link {
    pthread_mutex_t lock;
    int wake_fd;
    int is_open;
    int64_t pinged_us;     /* when the ping of link_ping() left; 0: none did */
    int64_t round_trip_us; /* of that ping; 0: not known, or told */
    int has_drained;
    int has_closed; /* for good */
    int is_paused;
    int is_ignored;
    struct wait waits[WAITS_MAX]; /* not told yet; a ring */
    unsigned wait_first, wait_count;
    wsock_conn *newest; /* opened, and not taken yet */
    wsock_conn *ended;  /* the last one that did */
    const char *hint;   /* static, nullable: what may help where that failed */
    struct message *head;
    struct message **tail;
    size_t waiting_bytes;
    struct outcome outcome;
    char location[256];     /* of a redirect that is not followed; "" */
    const char *gave_up_by; /* of one that is kept: the option, once it ended for good */

    int is_kept; /* --reconnect */
    wsock_client *client;
    wsock_conn *conn;  /* the main thread's; of one that is kept, NULL before it opened */
    struct link *next; /* of all that this process made */
};

/** Ask how long the way to the server and back takes. */
void link_ping(struct link *link);
/** @return that, in microseconds, once when it is known; else 0. */
int64_t link_take_round_trip(struct link *link);

/** Make a link and begin to connect. @return 0, or an exit status after a complaint; then
 *  *out is NULL. */
int link_open(struct link **out, wsock_runtime *runtime, const struct connect_plan *plan,
              const char *url, int wake_fd);

/** Take all messages that wait, and what else happened since the last call. */
struct message *link_take(struct link *link, int *is_open, int *has_drained,
                          int *has_closed);

/** Whether it waits since the last call. @param out (out, owned) end it with
 * wait_fini(). @return 1 if so. */
int link_take_wait(struct link *link, struct wait *out);
void wait_fini(struct wait *wait);

/** @return as wsock_conn_send(), or wsock_client_send() for one that is kept. */
int link_send(struct link *link, int type, const char *data, size_t len);
/** Nothing that comes is of interest any more. */
void link_ignore(struct link *link);
/** Close it, for good. */
void link_close(struct link *link, int code);
/** End it at once when that takes too long. */
void link_reset(struct link *link);

/** Once the runtime has ended. */
void link_free(struct link *link);

/** The exit status of a link's end; prints what is worth a line. @param is_stopped it was
 *  closed with link_close(). */
int link_status(const struct link *link, int is_verbose, int is_stopped);

/* ---- connect_io.c ---- */

/** Set by the signals that end the command: how often one came. */
extern volatile sig_atomic_t interrupts;

/** Count SIGINT and SIGTERM, waking fd; the second one ends the process. */
void catch_signals(int wake_fd);

struct output {
    char *data;
    size_t len;
    size_t size;
    int is_json;
    int is_terminal;
};

/** Add a message as one line. @return 0, or -1 without memory. */
int output_add(struct output *out, const struct message *message);

/** Write it all. @return 0, or -1 when standard output is gone or a signal came. */
int output_flush(struct output *out);

/** Standard input, cut in lines or taken whole. */
struct input {
    char *data;
    size_t start; /* of what was not taken yet */
    size_t len;   /* end of it */
    size_t size;
    int is_whole; /* -b */
    int is_taken;
    int has_ended;
};

/** Read once. @return 0, or -1 after a complaint when it is too long. */
int input_read(struct input *in);

/** Look at the next unit (borrowed until the next read). @return 1 when there is one. */
int input_peek(const struct input *in, const char **data, size_t *len);
/** Take it. */
void input_next(struct input *in);

#endif
