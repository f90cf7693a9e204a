/* SPDX-License-Identifier: MIT */
/* From the library's handlers to Python's: called inside wsock_queue_dispatch(), which
 * queue.c calls with the GIL held. */
#include "native.h"

static PyObject *on_error_of(const struct wpy_hooks *hooks)
{
    return hooks->fn[WPY_ON_ERROR];
}

/* Call a handler with what is in arguments[1..count]; the first belongs to vectorcall.
 * @return false when it raised, which is dealt with. */
static bool call(struct wpy_hooks *hooks, enum wpy_event event, PyObject **arguments,
                 size_t count)
{
    PyObject *fn = Py_NewRef(hooks->fn[event]);
    PyObject *result = PyObject_Vectorcall(fn, arguments + 1,
                                           count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);

    Py_DECREF(fn);
    if (result == NULL) {
        wpy_failed(hooks->queue, on_error_of(hooks), arguments[1]);
        return false;
    }
    Py_DECREF(result);
    return true;
}

/* ---- connections ---- */

/* @return (a new reference) the object that a handler is told of; NULL: nobody listens,
 * or there is none, which is dealt with. */
static struct wpy_conn *subject_of(wsock_conn *conn, struct wpy_hooks *hooks,
                                   enum wpy_event event)
{
    struct wpy_conn *self = hooks->fn[event] != NULL ? wpy_conn_of(conn, hooks) : NULL;

    if (self == NULL && PyErr_Occurred())
        wpy_failed(hooks->queue, on_error_of(hooks), NULL);
    return self;
}

/* The common frame of all that is about a connection. */
static void tell(wsock_conn *conn, void *user, enum wpy_event event, PyObject **arguments,
                 size_t count)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);
    struct wpy_conn *self;

    if (hooks == NULL)
        return;
    self = subject_of(conn, hooks, event);
    if (self != NULL) {
        arguments[1] = (PyObject *)self;
        call(hooks, event, arguments, count);
        Py_DECREF(self);
    }
    Py_DECREF(hooks);
}

static void on_open(wsock_conn *conn, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);
    struct wpy_conn *self;
    PyObject *arguments[2];

    if (hooks == NULL)
        return;
    self = wpy_conn_opens(conn, hooks);
    if (self == NULL) {
        wsock_conn_close(conn, 1011, NULL);
        wpy_failed(hooks->queue, on_error_of(hooks), NULL);
    } else if (hooks->fn[WPY_ON_OPEN] != NULL) {
        arguments[1] = (PyObject *)self;
        call(hooks, WPY_ON_OPEN, arguments, 1);
    }
    Py_XDECREF(self);
    Py_DECREF(hooks);
}

static PyObject *decoded(const struct wpy_hooks *hooks, int type, const void *data,
                         size_t len)
{
    PyObject *payload = hooks->buffers
                            ? wpy_buffer(hooks->queue->handle.pointer, type, data, len)
                            : wpy_payload(type, data, len);
    PyObject *result;

    if (payload == NULL || hooks->fn[WPY_DECODE] == NULL)
        return payload;
    result = PyObject_CallOneArg(hooks->fn[WPY_DECODE], payload);
    Py_DECREF(payload);
    return result;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);
    struct wpy_conn *self;
    PyObject *arguments[3];

    if (hooks == NULL)
        return;
    self = subject_of(conn, hooks, WPY_ON_MESSAGE);
    if (self != NULL) {
        arguments[1] = (PyObject *)self;
        arguments[2] = decoded(hooks, type, data, len);
        if (arguments[2] == NULL)
            wpy_failed(hooks->queue, on_error_of(hooks), arguments[1]);
        else
            call(hooks, WPY_ON_MESSAGE, arguments, 2);
        Py_XDECREF(arguments[2]);
        Py_DECREF(self);
    }
    Py_DECREF(hooks);
}

/* Who takes whole messages as well gets those here that came in one part. */
static bool is_for_on_message(void *user, int flags)
{
    const struct wpy_hooks *hooks = ((struct wpy_sink *)user)->hooks;

    return flags == (WSOCK_PART_FIRST | WSOCK_PART_LAST) && hooks != NULL &&
           hooks->fn[WPY_ON_MESSAGE] != NULL;
}

static void on_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                    void *user)
{
    PyObject *arguments[6];

    if (is_for_on_message(user, flags)) {
        on_message(conn, type, data, len, user);
        return;
    }

    arguments[2] = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
    arguments[3] = type == WSOCK_TEXT ? Py_True : Py_False;
    arguments[4] = (flags & WSOCK_PART_FIRST) != 0 ? Py_True : Py_False;
    arguments[5] = (flags & WSOCK_PART_LAST) != 0 ? Py_True : Py_False;
    if (arguments[2] != NULL)
        tell(conn, user, WPY_ON_PART, arguments, 5);
    else
        wsock_conn_close(conn, 1011, NULL), PyErr_Clear();
    Py_XDECREF(arguments[2]);
}

static void on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    PyObject *arguments[3];

    arguments[2] = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
    if (arguments[2] != NULL)
        tell(conn, user, WPY_ON_PONG, arguments, 2);
    else
        PyErr_Clear();
    Py_XDECREF(arguments[2]);
}

static void on_drain(wsock_conn *conn, void *user)
{
    PyObject *arguments[2];

    tell(conn, user, WPY_ON_DRAIN, arguments, 1);
}

static PyObject *close_info_of(const wsock_close_info *info)
{
    return PyObject_CallFunction(
        wpy_classes.close_info, "iNNiiiiNii", (int)info->code, wpy_text(info->reason),
        wpy_text(info->detail), (int)info->cause, (int)info->http_status,
        (int)info->sys_errno, (int)info->began, PyBool_FromLong(info->opened),
        (int)info->tls_error, (int)info->tls_alert);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);
    struct wpy_conn *self;
    PyObject *arguments[3] = {NULL, NULL, NULL};

    if (hooks == NULL) {
        /* Nobody hears of it; the object may still be kept. */
        self = wpy_conn_object(conn);
        if (self != NULL)
            wpy_conn_ended(self);
        return;
    }
    self = wpy_conn_of(conn, hooks);
    if (self != NULL)
        arguments[2] = close_info_of(info);
    if (arguments[2] == NULL) {
        wpy_failed(hooks->queue, on_error_of(hooks), (PyObject *)self);
    } else {
        Py_XSETREF(self->close_info, Py_NewRef(arguments[2]));
        arguments[1] = (PyObject *)self;
        if (hooks->fn[WPY_ON_CLOSE] != NULL)
            call(hooks, WPY_ON_CLOSE, arguments, 2);
    }
    if (self != NULL)
        wpy_conn_ended(self);
    Py_XDECREF(arguments[2]);
    Py_XDECREF(self);
    Py_DECREF(hooks);
}

/* ---- requests ---- */

/* What a handler returned, where it did not answer: None and True accept. */
static int answer_by(struct wpy_request *self, PyObject *result)
{
    wsock_request *request = self->handle.pointer;
    int r;

    if (self->answered || self->deferred)
        return 0;
    if (result != Py_None && result != Py_True && result != Py_False) {
        PyErr_Format(PyExc_TypeError,
                     "on_request returns what accept(), reject() or defer() return, a bool, "
                     "or None; not %.100s",
                     Py_TYPE(result)->tp_name);
        return -1;
    }
    if (!wsock_request_is_upgrade(request))
        r = wsock_request_reject(request, 404, NULL);
    else if (result == Py_False)
        r = wsock_request_reject(request, 403, NULL);
    else
        r = wsock_request_accept(request, NULL);
    wpy_request_settled(self);
    if (r < 0 && r != WSOCK_ECLOSED) {
        wpy_raise(r, NULL);
        return -1;
    }
    return 0;
}

static void ask(struct wpy_hooks *hooks, struct wpy_request *self, enum wpy_event event)
{
    PyObject *fn = Py_NewRef(hooks->fn[event]);
    PyObject *result = PyObject_CallOneArg(fn, (PyObject *)self);

    Py_DECREF(fn);
    if (result == NULL || answer_by(self, result) < 0) {
        wpy_failed(hooks->queue, on_error_of(hooks), (PyObject *)self);
        if (!self->answered && !self->deferred) {
            if (self->handle.pointer != NULL)
                wsock_request_reject(self->handle.pointer, 500, NULL);
            wpy_request_settled(self);
        }
    }
    Py_XDECREF(result);
}

static void on_some_request(wsock_request *request, void *user, enum wpy_event event)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);
    struct wpy_request *self = NULL;

    if (hooks != NULL && hooks->fn[event] != NULL) {
        self = (struct wpy_request *)wpy_request_new(request);
        if (self != NULL && wpy_request_await(self, hooks->queue) == 0) {
            ask(hooks, self, event);
        } else {
            wsock_request_reject(request, 500, NULL);
            wpy_failed(hooks->queue, on_error_of(hooks), (PyObject *)self);
        }
    } else if (!wsock_request_is_upgrade(request)) {
        wsock_request_reject(request, 404, NULL);
    } else {
        wsock_request_accept(request, NULL);
    }
    Py_XDECREF(self);
    Py_XDECREF(hooks);
}

static void on_request(wsock_request *request, void *user)
{
    on_some_request(request, user, WPY_ON_REQUEST);
}

static void on_http(wsock_request *request, void *user)
{
    on_some_request(request, user, WPY_ON_HTTP);
}

static void on_request_cancelled(wsock_request *request, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);
    struct wpy_request *self = wpy_request_pending(request);
    PyObject *arguments[2];

    if (self != NULL) {
        wpy_request_settled(self);
        if (hooks != NULL && hooks->fn[WPY_ON_REQUEST_CANCELLED] != NULL) {
            arguments[1] = (PyObject *)self;
            call(hooks, WPY_ON_REQUEST_CANCELLED, arguments, 1);
        }
        Py_DECREF(self);
    }
    Py_XDECREF(hooks);
}

/* ---- servers and clients as a whole ---- */

/* Tell of a server or client. What could not be made is told of nothing.
 * @param hooks (consumed) @param info (consumed, nullable: nothing is said beside) */
static void about_owner(struct wpy_hooks *hooks, enum wpy_event event, PyObject *info)
{
    PyObject *owner = Py_NewRef(hooks->owner != NULL ? hooks->owner : Py_None);
    PyObject *arguments[3] = {NULL, owner, info};
    PyObject *fn = Py_XNewRef(hooks->fn[event]), *result = NULL;

    if (fn != NULL && PyErr_Occurred() == NULL)
        result = PyObject_Vectorcall(
            fn, arguments + 1, (info != NULL ? 2u : 1u) | PY_VECTORCALL_ARGUMENTS_OFFSET,
            NULL);
    if (PyErr_Occurred() != NULL)
        wpy_failed(hooks->queue, on_error_of(hooks), NULL);
    Py_XDECREF(result);
    Py_XDECREF(fn);
    Py_XDECREF(info);
    Py_DECREF(owner);
    Py_DECREF(hooks);
}

static void on_stopped(wsock_server *server, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);

    (void)server;
    if (hooks != NULL)
        about_owner(hooks, WPY_ON_STOPPED, NULL);
}

static void on_cluster(wsock_server *server, int state, const char *why, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);

    (void)server;
    if (hooks != NULL)
        about_owner(hooks, WPY_ON_CLUSTER, Py_BuildValue("(iN)", state, wpy_text(why)));
}

static PyObject *state_info_of(const wsock_state_info *info)
{
    PyObject *why = info->why != NULL ? close_info_of(info->why) : Py_NewRef(Py_None);

    return why != NULL ? PyObject_CallFunction(wpy_classes.state_info, "iidN",
                                               (int)info->state, (int)info->attempt,
                                               (double)info->delay_ms / 1000, why)
                       : NULL;
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);

    (void)client;
    if (hooks != NULL)
        about_owner(hooks, WPY_ON_STATE, state_info_of(info));
}

/* ---- telling the library ---- */

#define ON(of, event, name) \
    case event:             \
        return wsock_##of##_##name(pointer, on ? name : NULL, sink, sink != NULL ? wpy_sink_unref : NULL)

static int register_endpoint(void *pointer, enum wpy_event event, bool on, void *sink)
{
    switch (event) {
        ON(endpoint, WPY_ON_OPEN, on_open);
        ON(endpoint, WPY_ON_MESSAGE, on_message);
        ON(endpoint, WPY_ON_PART, on_part);
        ON(endpoint, WPY_ON_PONG, on_pong);
        ON(endpoint, WPY_ON_DRAIN, on_drain);
        ON(endpoint, WPY_ON_CLOSE, on_close);
        ON(endpoint, WPY_ON_REQUEST, on_request);
        ON(endpoint, WPY_ON_REQUEST_CANCELLED, on_request_cancelled);
    default:
        return WSOCK_ENOTSUP;
    }
}

static int register_client(void *pointer, enum wpy_event event, bool on, void *sink)
{
    switch (event) {
        ON(client, WPY_ON_OPEN, on_open);
        ON(client, WPY_ON_MESSAGE, on_message);
        ON(client, WPY_ON_PART, on_part);
        ON(client, WPY_ON_PONG, on_pong);
        ON(client, WPY_ON_DRAIN, on_drain);
        ON(client, WPY_ON_CLOSE, on_close);
        ON(client, WPY_ON_STATE, on_state);
    default:
        return WSOCK_ENOTSUP;
    }
}

static int register_server(void *pointer, enum wpy_event event, bool on, void *sink)
{
    switch (event) {
        ON(server, WPY_ON_HTTP, on_http);
        ON(server, WPY_ON_STOPPED, on_stopped);
        ON(server, WPY_ON_CLUSTER, on_cluster);
    default:
        return WSOCK_ENOTSUP;
    }
}
#undef ON

static int register_one(struct wpy_hooks *hooks, void *pointer, enum wpy_event event, bool on)
{
    struct wpy_sink *sink = on ? wpy_sink_ref(hooks->sink) : NULL;
    const enum wpy_kind kind = ((struct wpy_handle *)hooks->target)->kind;
    const int r = kind == WPY_endpoint ? register_endpoint(pointer, event, on, sink)
                  : kind == WPY_client ? register_client(pointer, event, on, sink)
                  : kind == WPY_room   ? wpy_register_room(pointer, event, on, sink)
                                       : register_server(pointer, event, on, sink);

    if (r < 0 && sink != NULL)
        wpy_sink_unref(sink);
    return r;
}

int wpy_register(struct wpy_hooks *hooks, enum wpy_event event, bool on)
{
    void *pointer = wpy_pointer(hooks->target, ((struct wpy_handle *)hooks->target)->kind);
    int r;

    if (pointer == NULL)
        return -1;
    if (wpy_is_ask(event) && ((struct wpy_handle *)hooks->target)->kind == WPY_endpoint)
        return wpy_serve_rooms(hooks, event, on);
    r = register_one(hooks, pointer, event, on);
    /* Who waits for an answer is let go of when none is wanted any more. */
    if (r == 0 && event == WPY_ON_REQUEST && on)
        r = register_one(hooks, pointer, WPY_ON_REQUEST_CANCELLED, true);
    if (r < 0)
        wpy_raise_of(hooks->target, r);
    return r < 0 ? -1 : 0;
}
