/* SPDX-License-Identifier: MIT */
/* The handlers of an endpoint, a client, a room, or a server as a whole. Replacing one replaces it
 * for open connections too. What the library is told is never more than that there is one
 * (trampolines.c), so that no reference of Python's is ever freed on a worker. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

static const char *const names[WPY_EVENTS] = {
    [WPY_ON_OPEN] = "on_open",
    [WPY_ON_MESSAGE] = "on_message",
    [WPY_ON_PART] = "on_part",
    [WPY_ON_PONG] = "on_pong",
    [WPY_ON_DRAIN] = "on_drain",
    [WPY_ON_CLOSE] = "on_close",
    [WPY_ON_REQUEST] = "on_request",
    [WPY_ON_REQUEST_CANCELLED] = "on_request_cancelled",
    [WPY_ON_HTTP] = "on_http",
    [WPY_ON_STOPPED] = "on_stopped",
    [WPY_ON_STATE] = "on_state",
    [WPY_ON_CLUSTER] = "on_cluster",
    [WPY_ON_JOIN] = "on_join",
    [WPY_ON_LEAVE] = "on_leave",
    [WPY_ON_HELLO] = "on_hello",
    [WPY_ON_PUBLISH] = "on_publish",
    [WPY_ON_CALL] = "on_call",
    [WPY_ON_ERROR] = "on_error",
    [WPY_ENCODE] = "encode",
    [WPY_DECODE] = "decode",
};

struct wpy_sink *wpy_sink_ref(struct wpy_sink *sink)
{
    atomic_fetch_add(&sink->refs, 1);
    return sink;
}

void wpy_sink_unref(void *user)
{
    struct wpy_sink *sink = user;

    if (atomic_fetch_sub(&sink->refs, 1) == 1)
        free(sink);
}

struct wpy_hooks *wpy_hooks_of(void *sink)
{
    struct wpy_hooks *hooks = ((struct wpy_sink *)sink)->hooks;

    Py_XINCREF(hooks);
    return hooks;
}

static enum wpy_kind kind_of(const struct wpy_hooks *hooks)
{
    return ((struct wpy_handle *)hooks->target)->kind;
}

bool wpy_hooks_is_client(const struct wpy_hooks *hooks)
{
    return kind_of(hooks) == WPY_client;
}

/* Those that are always there, because objects are made and let go of in them. An
 * endpoint's wait until its server is to accept: where rooms are served, that has to be
 * said before. */
static int register_always(struct wpy_hooks *hooks)
{
    if (kind_of(hooks) == WPY_room)
        return 0;
    if (kind_of(hooks) == WPY_server)
        return wpy_register(hooks, WPY_ON_STOPPED, true);
    if (wpy_register(hooks, WPY_ON_OPEN, true) < 0 ||
        wpy_register(hooks, WPY_ON_CLOSE, true) < 0)
        return -1;
    return 0;
}

static bool is_always(enum wpy_event event)
{
    return event == WPY_ON_OPEN || event == WPY_ON_CLOSE || event == WPY_ON_STOPPED ||
           event == WPY_ON_ERROR || event == WPY_ENCODE || event == WPY_DECODE;
}

/* Hooks(target handle, queue) */
static PyObject *new_hooks(PyTypeObject *type, PyObject *arguments,
                           PyObject *Py_UNUSED(keywords))
{
    struct wpy_hooks *self;
    PyObject *target, *queue;

    if (!PyArg_ParseTuple(arguments, "O!O!", &wpy_handle_type, &target, &wpy_queue_type,
                          &queue))
        return NULL;
    self = (struct wpy_hooks *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->target = Py_NewRef(target);
    self->queue = (struct wpy_queue *)Py_NewRef(queue);
    self->sink = malloc(sizeof *self->sink);
    if (self->sink == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    atomic_init(&self->sink->refs, 1);
    self->sink->hooks = self;
    if (kind_of(self) != WPY_endpoint && register_always(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Connections may come from now on. */
static PyObject *make_ready(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;

    if (!self->ready && kind_of(self) == WPY_endpoint && register_always(self) < 0)
        return NULL;
    self->ready = true;
    Py_RETURN_NONE;
}

/* Rooms for pages, by whatever hooks are set. */
static PyObject *serve_rooms(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (wpy_serve_rooms((struct wpy_hooks *)self, WPY_EVENTS, true) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int event_of(PyObject *name)
{
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;

    for (int event = 0; text != NULL && event < WPY_EVENTS; event++)
        if (strcmp(names[event], text) == 0)
            return event;
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "there is no handler %R", name);
    return -1;
}

/* set(name, function or None) */
static PyObject *set(PyObject *object, PyObject *arguments)
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;
    PyObject *name, *fn;
    bool was;
    int event;

    if (!PyArg_ParseTuple(arguments, "OO", &name, &fn) || (event = event_of(name)) < 0)
        return NULL;
    if (fn != Py_None && !PyCallable_Check(fn)) {
        PyErr_Format(PyExc_TypeError, "%U is a function or None, not %.100s", name,
                     Py_TYPE(fn)->tp_name);
        return NULL;
    }
    was = self->fn[event] != NULL;
    /* First where it is to be found, then the library: another thread may dispatch. */
    if (fn != Py_None)
        Py_XSETREF(self->fn[event], Py_NewRef(fn));
    if (was != (fn != Py_None) && !is_always(event) &&
        wpy_register(self, event, fn != Py_None) < 0) {
        if (!was)
            Py_CLEAR(self->fn[event]);
        return NULL;
    }
    if (fn == Py_None)
        Py_CLEAR(self->fn[event]);
    Py_RETURN_NONE;
}

static PyObject *get(PyObject *self, PyObject *name)
{
    const int event = event_of(name);

    if (event < 0)
        return NULL;
    return Py_NewRef(((struct wpy_hooks *)self)->fn[event] != NULL
                         ? ((struct wpy_hooks *)self)->fn[event]
                         : Py_None);
}

/* (true or false): whether messages come as Buffers */
static PyObject *set_buffers(PyObject *self, PyObject *on)
{
    ((struct wpy_hooks *)self)->buffers = on == Py_True;
    Py_RETURN_NONE;
}

/* (object): whom its connections, on_state and on_stopped belong to. */
static PyObject *set_owner(PyObject *self, PyObject *owner)
{
    Py_XSETREF(((struct wpy_hooks *)self)->owner, Py_NewRef(owner));
    Py_RETURN_NONE;
}

/* client_connect(socket or None): a connection, with its object in place before any
 * handler. */
static PyObject *client_connect(PyObject *object, PyObject *socket)
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;
    wsock_client *client = wpy_pointer(self->target, WPY_client);
    wsock_conn *conn = NULL;
    struct wpy_conn *result;
    int r, fd = -1;

    if (client == NULL)
        return NULL;
    if (socket != Py_None && (fd = PyObject_AsFileDescriptor(socket)) < 0)
        return NULL;
    r = socket == Py_None ? wsock_client_connect(client, &conn)
                          : wsock_client_connect_fd(client, &conn, fd);
    if (r < 0)
        return wpy_raise_of(self->target, r);
    result = wpy_conn_of(conn, self);
    wsock_conn_unref(conn);
    return (PyObject *)result;
}

/* The connection of a client that was started, or None. */
static PyObject *client_conn(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;
    wsock_client *client = wpy_pointer(self->target, WPY_client);
    struct wpy_conn *result;
    wsock_conn *conn;

    if (client == NULL)
        return NULL;
    conn = wsock_client_conn(client);
    if (conn == NULL)
        Py_RETURN_NONE;
    /* What is not dispatched yet has no object. */
    result = wpy_conn_object(conn);
    wsock_conn_unref(conn);
    return Py_NewRef(result != NULL ? (PyObject *)result : Py_None);
}

/* ---- life ---- */

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;

    Py_VISIT(self->target);
    Py_VISIT(self->queue);
    Py_VISIT(self->owner);
    for (int i = 0; i < WPY_EVENTS; i++)
        Py_VISIT(self->fn[i]);
    return 0;
}

static int clear(PyObject *object)
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;

    for (int i = 0; i < WPY_EVENTS; i++)
        Py_CLEAR(self->fn[i]);
    Py_CLEAR(self->owner);
    return 0;
}

static void dealloc(PyObject *object)
{
    struct wpy_hooks *self = (struct wpy_hooks *)object;

    PyObject_GC_UnTrack(self);
    if (self->sink != NULL) {
        self->sink->hooks = NULL;
        wpy_sink_unref(self->sink);
    }
    clear(object);
    Py_CLEAR(self->target);
    Py_CLEAR(self->queue);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {
    {"set", set, METH_VARARGS, "set(name, function or None)"},
    {"get", get, METH_O, "get(name): the function, or None"},
    {"set_buffers", set_buffers, METH_O, "Whether messages come as Buffers."},
    {"set_owner", set_owner, METH_O, "Whom its events are about."},
    {"make_ready", make_ready, METH_NOARGS, "Before connections come to an endpoint."},
    {"serve_rooms", serve_rooms, METH_NOARGS, "Have an endpoint serve rooms for pages."},
    {"client_connect", client_connect, METH_O,
     "Open a connection, over a socket that is connected or None."},
    {"client_conn", client_conn, METH_NOARGS, "The connection of a started client."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject wpy_hooks_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Hooks",
    .tp_basicsize = sizeof(struct wpy_hooks),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = new_hooks,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_methods = methods,
    .tp_doc = "The handlers of an endpoint, a client, or a server as a whole.",
};
