/* SPDX-License-Identifier: MIT */
/* What the hand-written part of the Python binding shares. All of it runs with the GIL
 * held, but for what is marked. Handlers run inside wsock_queue_dispatch(), which is called
 * with the GIL held, on a thread of Python's: so no worker ever takes it, and what the
 * library calls from a worker (free functions only) leaves its work in the graveyard. */
#ifndef WPY_NATIVE_H
#define WPY_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <wsock/wsock.h>

#if PY_VERSION_HEX < 0x030a0000
static inline PyObject *Py_NewRef(PyObject *object)
{
    Py_INCREF(object);
    return object;
}
static inline PyObject *Py_XNewRef(PyObject *object)
{
    Py_XINCREF(object);
    return object;
}
#endif

/* ---- handles (handle.c) ---- */

enum wpy_kind {
    WPY_runtime,
    WPY_server,
    WPY_endpoint,
    WPY_request,
    WPY_conn,
    WPY_client,
    WPY_message,
    WPY_room,
    WPY_queue,
    WPY_timer,
    WPY_jwt_key,
    WPY_jwt,
    WPY_ask,
    WPY_KINDS,
};

/* A reference to an object of the library's; the base of the types below. */
struct wpy_handle {
    PyObject_HEAD
    void *pointer; /* NULL once it was let go of */
    enum wpy_kind kind;
    unsigned epoch; /* of the process that made it; after a fork it is of no use */
};

extern PyTypeObject wpy_handle_type;

/* @param pointer (consumed, nullable: None) */
PyObject *wpy_handle(void *pointer, enum wpy_kind kind);
/* @return NULL with an exception for what is no handle of that kind, ended, or of a
 * process that forked. */
void *wpy_pointer(PyObject *object, enum wpy_kind kind);
/* Fill the base of a new object. */
void wpy_handle_init(struct wpy_handle *handle, void *pointer, enum wpy_kind kind);
/* Let go of what it refers to, as deallocation does. */
void wpy_handle_drop(struct wpy_handle *handle);
/* Is it of this process, and not let go of? */
bool wpy_handle_is_live(const struct wpy_handle *handle);
bool wpy_epoch_is_now(unsigned epoch);

/* Raise wsock.Error, with what `object` knows of it. @param object (nullable) a handle, or a
 * tuple of arguments whose first one is. @return NULL */
PyObject *wpy_raise_of(PyObject *object, int code);
PyObject *wpy_raise(int code, const char *detail);

/* ---- values (value.c) ---- */

PyObject *wpy_text(const char *text); /* NULL: None */
PyObject *wpy_text_unless_empty(const char *text); /* "": None */
PyObject *wpy_pair(const char *name, const char *value);

/* The bytes of a str (UTF-8) or of a bytes-like object. */
struct wpy_bytes {
    const void *data;
    size_t len;
    int type; /* WSOCK_TEXT or WSOCK_BINARY, maybe with WSOCK_UNCOMPRESSED */
    bool held;
    Py_buffer view;
};
/* May be released as it is: for what fails before it is got. */
#define WPY_NO_BYTES {.held = false}
int wpy_bytes_get(struct wpy_bytes *bytes, PyObject *object);
void wpy_bytes_release(struct wpy_bytes *bytes);
/* A C string of a str without NULs, or NULL for None. @return 0 or -1 with an exception */
int wpy_string(const char **out, PyObject *object);
/* What a script sends: `text` is NULL, None, or whether it is text; `compress` is NULL, or
 * whether it may be compressed. */
int wpy_payload_get(struct wpy_bytes *bytes, PyObject *object, PyObject *text,
                    PyObject *compress);
PyObject *wpy_payload(int type, const void *data, size_t len);

/* A message as it is, with the buffer protocol (buffer.c). */
extern PyTypeObject wpy_buffer_type;
/* @param queue whose handler is told of it */
PyObject *wpy_buffer(wsock_queue *queue, int type, const void *data, size_t len);

/* ---- what the package tells (module.c) ---- */

extern struct wpy_classes {
    PyObject *error;      /* wsock.Error */
    PyObject *connection; /* classes over the types below */
    PyObject *request;
    PyObject *ask;
    PyObject *close_info;
    PyObject *state_info;
    PyObject *on_error; /* the default */
    PyObject *log_line;
} wpy_classes;

int wpy_init(PyObject *module);
/* Nobody holds it any more. @param runtime (consumed) */
void wpy_runtime_doom(void *runtime);
/* In the child: all that was made before is the parent's. */
void wpy_forked(void);

/* Functions of the module: rooms (room.c), who is in them (people.c), signed tokens
 * (jwt.c), and clusters (cluster.c). */
extern PyMethodDef wpy_room_functions[];
extern PyMethodDef wpy_people_functions[];
extern PyMethodDef wpy_jwt_functions[];
extern PyMethodDef wpy_cluster_functions[];

/* capsule(handle), for C in the same process (capsule.c). */
PyObject *wpy_capsule(PyObject *module, PyObject *object);

/* ---- the log (log.c) ---- */

/* log_open(runtime): the log of a new runtime; log_tell(log): its lines that wait. */
PyObject *wpy_log_open(PyObject *module, PyObject *handle);
PyObject *wpy_log_tell_all(PyObject *module, PyObject *log);
/* Tell the lines that wait. @return 0 or -1 with an exception: the others are lost. */
int wpy_log_tell(PyObject *log);
/* Have a queue be woken for lines. @return 0 or -1 with an exception. */
int wpy_log_join(PyObject *log, wsock_queue *queue);
void wpy_log_leave(PyObject *log, wsock_queue *queue);

/* ---- queues (queue.c) ---- */

/* Something that a queue keeps, until it is over or the queue is closed. */
struct wpy_kept {
    struct wpy_kept *prev, *next; /* NULL: not kept */
    PyObject *object;             /* a reference while kept */
};

struct wpy_queue {
    struct wpy_handle handle;
    PyObject *runtime, *log;
    PyObject *on_error;     /* nullable */
    PyObject *failure;      /* nullable: the exception that a dispatch lets out */
    struct wpy_kept kept;   /* the head */
    unsigned long thread;   /* that dispatches, 0: none */
    bool lets_out;          /* the dispatch that is under way lets exceptions out */
    bool for_tests;         /* a wait is none: the library has its own time pass */
};

extern PyTypeObject wpy_queue_type;

void wpy_keep(struct wpy_queue *queue, struct wpy_kept *kept, PyObject *object);
void wpy_let_go(struct wpy_kept *kept);
/* A handler raised. @param own (nullable) the on_error of where it was;
 * @param subject (nullable) the connection or request that it was about. */
void wpy_failed(struct wpy_queue *queue, PyObject *own, PyObject *subject);

/* Timers and calls (timer.c). */
extern PyTypeObject wpy_timer_type;
/* @param conn (nullable) when it closes, the timer ends */
PyObject *wpy_timer_start(struct wpy_queue *queue, wsock_conn *conn, double first,
                          double every, PyObject *fn);
/* @param conn (nullable) between whose handlers, if it has not ended */
PyObject *wpy_call_soon(struct wpy_queue *queue, wsock_conn *conn, PyObject *fn);

/* ---- the graveyard (graveyard.c) ---- */

/* What the library has freed, on whatever thread, waits here for the GIL. */
struct wpy_grave {
    struct wpy_grave *next;
    void (*bury)(struct wpy_grave *grave);
};
/* Any thread, without the GIL. */
void wpy_grave_add(struct wpy_grave *grave);
void wpy_graves_empty(void);
/* After a fork: what is in it belongs to the parent. */
void wpy_graves_forget(void);

/* ---- handlers (hooks.c) ---- */

enum wpy_event {
    WPY_ON_OPEN,
    WPY_ON_MESSAGE,
    WPY_ON_PART,
    WPY_ON_PONG,
    WPY_ON_DRAIN,
    WPY_ON_CLOSE,
    WPY_ON_REQUEST,
    WPY_ON_REQUEST_CANCELLED,
    WPY_ON_HTTP,
    WPY_ON_STOPPED,
    WPY_ON_STATE,
    WPY_ON_CLUSTER,
    WPY_ON_JOIN,
    WPY_ON_LEAVE,
    WPY_ON_HELLO,
    WPY_ON_PUBLISH,
    WPY_ON_CALL,
    WPY_ON_ERROR,
    WPY_ENCODE,
    WPY_DECODE,
    WPY_EVENTS,
};

/* The handlers of an endpoint, of a client, of a room, or of a server as a whole. */
struct wpy_hooks {
    PyObject_HEAD
    PyObject *target;            /* the handle that they belong to */
    struct wpy_queue *queue;     /* a reference */
    PyObject *owner;             /* nullable: whom on_state and on_stopped are about */
    struct wpy_sink *sink;       /* what the library holds */
    PyObject *fn[WPY_EVENTS];    /* nullable */
    bool buffers;                /* messages are Buffers */
    bool ready;                  /* what is always there is registered */
};

extern PyTypeObject wpy_hooks_type;

bool wpy_hooks_is_client(const struct wpy_hooks *hooks);

/* What the library holds in place of the hooks, which may go before. */
struct wpy_sink {
    atomic_uint refs;
    struct wpy_hooks *hooks; /* NULL once they are gone */
};

/* Trampolines (trampolines.c). @param sink one reference is the registration's. */
int wpy_register(struct wpy_hooks *hooks, enum wpy_event event, bool on);
struct wpy_sink *wpy_sink_ref(struct wpy_sink *sink);
void wpy_sink_unref(void *sink); /* any thread, without the GIL */
/* The hooks, which a handler may replace or drop: a reference, or NULL. */
struct wpy_hooks *wpy_hooks_of(void *sink);

/* A room's (heralds.c). */
int wpy_register_room(void *room, enum wpy_event event, bool on, void *sink);
/* (data, key, epoch, offset, prev, time_ms) */
PyObject *wpy_room_message(const wsock_room_message *message);

/* ---- hooks of rooms for pages (ask.c) ---- */

extern PyTypeObject wpy_ask_type;

/* Of an endpoint: is it a hook of rooms for pages? */
bool wpy_is_ask(enum wpy_event event);
/* Have the endpoint serve rooms, with the hooks that are set, but for one of them `on` in
 * place of whether it is. @return 0 or -1 with an exception */
int wpy_serve_rooms(struct wpy_hooks *hooks, enum wpy_event event, bool on);

/* ---- what is told once (cluster.c) ---- */

/* A function that waits for that. */
struct wpy_once;
extern PyTypeObject wpy_once_type;
/* @return (borrowed) or NULL with an exception */
struct wpy_once *wpy_once_new(PyObject *queue, PyObject *fn);
/* It will not be called. @param once (nullable) */
void wpy_once_drop(struct wpy_once *once);
/* Handlers of the library's, whose user pointer one is. */
void wpy_once_published(const wsock_published *published, void *user);
void wpy_once_joined(wsock_conn *conn, const wsock_joined *joined, void *user);
/* (recovered or None, count, epoch, offset) */
PyObject *wpy_joined(const wsock_joined *joined);
/* (identity, info or None, count) (people.c) */
PyObject *wpy_person(const wsock_person *person);

/* ---- connections (conn.c) and requests (request.c) ---- */

struct wpy_conn {
    struct wpy_handle handle;
    struct wpy_kept kept; /* from open, or connect, until its close was delivered */
    struct wpy_hooks *hooks; /* a reference; NULL once it is over */
    PyObject *data, *info, *request, *close_info;
    bool joined; /* a room: handlers of rooms may tell of it behind its end */
};

extern PyTypeObject wpy_conn_type;

/* The object of a connection, made if need be. @return (a new reference) */
struct wpy_conn *wpy_conn_of(wsock_conn *conn, struct wpy_hooks *hooks);
struct wpy_conn *wpy_conn_opens(wsock_conn *conn, struct wpy_hooks *hooks);
/* The object of a connection that Python was told of. @return (borrowed) or NULL */
struct wpy_conn *wpy_conn_object(const wsock_conn *conn);
/* The same or, for one of C's, another that stands for it. @return (a new reference) */
PyObject *wpy_conn_shown(wsock_conn *conn);
void wpy_conn_ended(struct wpy_conn *conn);

struct pending;

struct wpy_request {
    struct wpy_handle handle;
    struct wpy_kept kept; /* until it is answered */
    struct pending *pending; /* until then */
    char answered, deferred;
};

extern PyTypeObject wpy_request_type;

/* @return (a new reference) the object that stands for it since on_request, else NULL. */
struct wpy_request *wpy_request_pending(wsock_request *request);
PyObject *wpy_request_new(wsock_request *request);
/* Keep it for its answer, and for on_request_cancelled. */
int wpy_request_await(struct wpy_request *request, struct wpy_queue *queue);
void wpy_request_settled(struct wpy_request *request);
/* Take what was said of the peer when it was accepted. @return (a new reference) or NULL */
PyObject *wpy_request_take(wsock_conn *conn);
/* Whether a connection's user pointer is still what its request left there. */
bool wpy_is_pending(const void *user);

#endif
