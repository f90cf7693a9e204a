/* SPDX-License-Identifier: MIT */
/*
 * One connection: a stream of bytes (io/stream.h) joined to a WebSocket session
 * (proto/session.h), with limits, timers and a life of its own.
 *
 *                       request or connect              closing handshake
 *            OPENING ----------------------> OPEN ---------------------> CLOSING
 *               |            on_open           |                            |
 *               |  refused, failed             |  lost, reset, error        |
 *               v                              v                            v
 *            ENDING  <------------------------------------------------------+
 *               |   the stream is closing: nothing is received any more
 *               v
 *            CLOSED     on_close ran, if on_open had (clients: always)
 *
 * The state belongs to the worker; other threads only read it. The files:
 *   conn.c      making, ending, releasing, what is told about the end
 *   receive.c   bytes in: events of the session, control frames, limits
 *   send.c      messages out, from this thread and others; the backlog and on_drain
 *   send_parts.c, receive_parts.c    messages that go and come in parts
 *   droppable.c messages of rooms that wait for a socket that does not keep up
 *   posted.c    messages on their way to the worker
 *   compress.c  permessage-deflate, in both directions
 *   closing.c   the closing handshake
 *   timeout.c   everything that time does to a connection
 *   pressure.c  what the memory of all connections together does to one
 *   secure.c    TLS: its handshake, and what is known of it
 *   opening.c   what accepting.c and connecting.c share until it is open (opening.h)
 */
#ifndef WSI_CONN_CONN_H
#define WSI_CONN_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/conn.h>
#include <wsock/request.h>

#include "conn/facts.h"
#include "conn/owner.h"
#include "conn/profile.h"
#include "conn/worker.h"
#include "core/buf.h"
#include "core/list.h"
#include "core/ref.h"
#include "io/stream.h"
#include "proto/pmd.h"
#include "proto/session.h"

struct wsi_blob;
struct wsi_extra;
struct wsi_opening;
struct wsi_queued;

/* How long a peer that never opened may take to read our answer. */
enum { WSI_LINGER_MS = 5000, WSI_FAREWELL_MS = 1000 /* of a server that stops */ };

/* How many times close_timeout a close waits for a host whose lane is full; then the
 * transport ends, and on_close waits for the host alone. */
enum { WSI_HOST_PATIENCE = 10 };

enum wsi_conn_state {
    WSI_CONN_OPENING,
    WSI_CONN_OPEN,
    WSI_CONN_CLOSING,
    WSI_CONN_ENDING,
    WSI_CONN_CLOSED,
};

/* Why reading is paused; it goes on when no bit is left. */
enum {
    WSI_PAUSE_USER = 1,     /* wsock_conn_pause_read() */
    WSI_PAUSE_BACKLOG = 2,  /* pause_read_when_backlogged */
    WSI_PAUSE_PRESSURE = 4, /* max_buffered_bytes */
    WSI_PAUSE_OPENING = 8,  /* what follows the head waits for the answer */
    WSI_PAUSE_TURN = 16,    /* enough was inflated in this turn of the loop */
    WSI_PAUSE_QUEUE = 32,   /* the lane to its queue is full */
    WSI_PAUSE_SHARE = 64,   /* it has its share of it */
    WSI_PAUSE_HOST = WSI_PAUSE_QUEUE | WSI_PAUSE_SHARE,
};

/* What rooms send to a connection: each message as it is, or as a frame of rooms.v1. */
enum wsi_form { WSI_FORM_RAW, WSI_FORM_V1, WSI_FORMS };

struct wsock_conn {
    struct wsi_ref ref;
    atomic_uchar state;       /* enum wsi_conn_state */
    atomic_bool close_begun;  /* somebody asked for the end: no more sends */
    atomic_bool want_drain;   /* a send answered EAGAIN */
    atomic_bool drain_posted; /* the mail `drain` is under way */
    struct wsi_stream stream;
    struct wsi_session session;
    struct wsi_timer timer;
    struct wsi_list node; /* worker->conns */
    struct wsi_worker *worker;
    struct wsi_owner *owner;     /* (owned) the server or client */
    struct wsi_profile *profile; /* NULL until an endpoint is found */
    struct wsi_facts *facts;     /* (owned, nullable) of the handshake */
    struct wsi_blob *local;      /* (owned, nullable) the listener's address as text */
    struct wsi_opening *opening; /* (owned) until open; guarded by worker->lock */
    uint64_t id;
    atomic_size_t posted_bytes; /* accepted, in mails to the worker */
    atomic_uint posted;         /* those mails */
    uint32_t user_pauses;
    struct wsi_mail drain;
    struct wsi_list rooms;             /* memberships; guarded by worker->lock */
    struct wsi_buf held;               /* received while paused, not decoded yet */
    _Atomic(struct wsi_extra *) extra; /* (owned, nullable) what few need: extra.h */
    _Atomic(void *) user;
    wsock_free_fn free_user;
    char *ending_text;    /* (owned, nullable) "reason\0detail\0" */
    uint64_t heard_ms;    /* bytes came last */
    uint64_t progress_ms; /* the kernel took bytes last, while blocked */
    uint64_t since_ms;    /* the state began; while open: we pinged last */
    size_t accounted;     /* what this connection holds of pool->buffered */
    uint32_t pinged_us; /* low bits of when a ping of ours left that has no pong; or 0 */
    atomic_uint rtt_us; /* from a ping to its pong, the last time; 0: none yet */
    uint16_t sys_errno, http_status;
    uint8_t pauses;               /* WSI_PAUSE_* */
    uint8_t cause, began;         /* WSOCK_CAUSE_*, WSOCK_BY_* */
    uint8_t tls_error, tls_alert; /* WSOCK_TLS_*; the peer's alert, or 0 */
    bool ended;                   /* cause is set: the first one stays */
    bool opened;                  /* on_open ran */
    bool receiving;               /* inside on_data: do not re-enter */
    struct wsi_pmd_params pmd;    /* own_window_bits is 0 without compression */
    uint8_t form;                 /* enum wsi_form: fixed before it is in any room */
};

/* ---- conn.c ---- */

/**
 * Make a connection on a worker, in state OPENING and without a socket. It is counted in
 * the pool until it is CLOSED.
 *
 * @param owner (owned on success)
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED once the pool is stopping.
 */
int wsi_conn_new(struct wsock_conn **out, struct wsi_worker *worker,
                 struct wsi_owner *owner, struct wsi_profile *profile,
                 enum wsi_role role);

static inline enum wsi_conn_state wsi_conn_state(const struct wsock_conn *conn)
{
    return (enum wsi_conn_state)atomic_load_explicit(&conn->state, memory_order_acquire);
}

static inline struct wsi_extra *wsi_extra_of(const struct wsock_conn *conn)
{
    return atomic_load_explicit(&conn->extra, memory_order_acquire);
}

static inline enum wsi_role wsi_conn_role(const struct wsock_conn *conn)
{
    return (enum wsi_role)conn->session.role;
}

/** True when messages may be sent: it is open, and nobody asked for its end. */
static inline bool wsi_conn_takes_messages(const struct wsock_conn *conn)
{
    return wsi_conn_state(conn) == WSI_CONN_OPEN &&
           !atomic_load_explicit(&conn->close_begun, memory_order_relaxed);
}

/** True when what was received may be decoded. */
static inline bool wsi_conn_goes_on(const struct wsock_conn *conn)
{
    return conn->pauses == 0 && wsi_conn_state(conn) < WSI_CONN_ENDING;
}

void wsi_conn_set_state(struct wsock_conn *conn, enum wsi_conn_state state);

/** True on the connection's worker when no mail to it is under way: a call may act at
 * once and still keep the order. */
static inline bool wsi_conn_is_direct(const struct wsock_conn *conn)
{
    return wsi_worker_current == conn->worker &&
           atomic_load_explicit(&conn->posted, memory_order_acquire) == 0;
}

/** Note why it ends; only the first call counts. fmt gives the detail. */
void wsi_conn_note_end(struct wsock_conn *conn, int cause, int began, int sys_errno,
                       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** Note the end and close the stream. */
void wsi_conn_end(struct wsock_conn *conn, enum wsi_close_mode mode, int cause, int began,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** How the log names it: "conn 17". */
struct wsi_conn_subject {
    char text[32];
};
struct wsi_conn_subject wsi_conn_subject(const struct wsock_conn *conn);

/** The stream is gone, or there never was one: on_close, and wsi_conn_finish(). */
void wsi_conn_closed(struct wsock_conn *conn);
/** Whether on_close is due at its end. */
bool wsi_conn_owes_close(const struct wsock_conn *conn);
/** Call it, where the handlers run. */
void wsi_conn_call_close(struct wsock_conn *conn, struct wsi_handler *handler);
/** After on_close, on the worker: everything is released. */
void wsi_conn_finish(struct wsock_conn *conn);

/** What it has for its queue. @return (borrowed from conn, nullable) NULL when its
 * handlers run on the worker. */
struct wsi_queued *wsi_conn_queued(const struct wsock_conn *conn);

/** Remember the reason of the peer's close frame. */
void wsi_conn_keep_reason(struct wsock_conn *conn, const uint8_t *reason, size_t len);

/** The handshake is done: on_open, then what was received behind it. */
void wsi_conn_open(struct wsock_conn *conn, uint8_t *rest, size_t len);

extern const struct wsi_stream_events wsi_conn_stream_events;

/* A request is its connection, seen through another handle: it has the same life. */
static inline wsock_request *wsi_request_of(struct wsock_conn *conn)
{
    return (wsock_request *)(void *)conn;
}

static inline struct wsock_conn *wsi_conn_of_request(const wsock_request *request)
{
    return (struct wsock_conn *)(void *)(uintptr_t)request;
}

/** Add what the connection holds of memory to the pool's account, and act on its limit.
 */
void wsi_conn_account(struct wsock_conn *conn);

/* ---- receive.c ---- */

void wsi_conn_receive(struct wsock_conn *conn, uint8_t *data, size_t len);
void wsi_conn_pause(struct wsock_conn *conn, unsigned why);
/** Goes on with what was held before the socket is read again. */
void wsi_conn_resume(struct wsock_conn *conn, unsigned why);

/** Go on with what was held, then with the socket, if nothing pauses it any more. */
void wsi_conn_receive_held(struct wsock_conn *conn);

/** So much was inflated and delivered: beyond a bound for one turn of the loop, the rest
 * waits for the next, so that a small burst cannot keep the worker from all others. */
void wsi_conn_spend(struct wsock_conn *conn, size_t inflated_bytes);

/* ---- send.c; for other threads see send.h ---- */

/** Queue a frame now, on the worker; the caller has checked everything. The payload is
 * masked for clients. @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED when the stream is closing.
 */
int wsi_conn_write(struct wsock_conn *conn, unsigned byte0, const void *data, size_t len);
/** The same for a frame that is encoded already, as servers send it. */
int wsi_conn_write_frame(struct wsock_conn *conn, struct wsi_blob *frame);
/** Answer a ping, now or when the socket takes bytes again; only the newest is kept. */
void wsi_conn_pong(struct wsock_conn *conn, const void *data, size_t len);
/** Bytes accepted and not yet taken by the kernel. Any thread. */
size_t wsi_conn_buffered(const struct wsock_conn *conn);
/** Something was written: the backlog may be too much now. */
void wsi_conn_written(struct wsock_conn *conn);
/** Something was refused: on_drain must follow. Any thread. */
void wsi_conn_refused(struct wsock_conn *conn);
/** After the backlog shrank: on_drain, resume, the pong that waits. */
void wsi_conn_drained(struct wsock_conn *conn);
/** wsi_conn_drained() in a turn of its own. Any thread. */
void wsi_conn_post_drain(struct wsock_conn *conn);
/** After it grew: pause_read_when_backlogged. */
void wsi_conn_backlogged(struct wsock_conn *conn);

/* ---- closing.c; for other threads see closing.h ---- */

/** Send the close frame and wait for the peer's. On the worker. */
void wsi_conn_start_close(struct wsock_conn *conn, unsigned code, const char *reason,
                          size_t len);
/** The peer's close frame came. */
void wsi_conn_peer_closed(struct wsock_conn *conn, const struct wsi_event *event);
/** Answer it, if that is still to be done. */
void wsi_conn_answer_close(struct wsock_conn *conn);
/** The peer broke a rule: close with the code that names it. */
void wsi_conn_fail(struct wsock_conn *conn, unsigned code, const char *why);
/** Close with 1013 to free memory. */
void wsi_conn_overload(struct wsock_conn *conn);
/** Its server or runtime stops: 1001, or an end to the opening. */
void wsi_conn_go_away(struct wsock_conn *conn);

/* ---- timeout.c ---- */

void wsi_conn_on_timer(struct wsi_timer *timer);
/** (Re)start the timer for the state that the connection is in. */
void wsi_conn_start_timer(struct wsock_conn *conn);
/** A pong came: it may answer a ping of ours. */
void wsi_conn_hear_pong(struct wsock_conn *conn, size_t len);
/** A time limit was set anew: open connections look at it now. Any thread. */
void wsi_timeouts_changed(struct wsi_pool *pool);

#endif
