/* SPDX-License-Identifier: MIT */
/* Connections: one object for each, found through the connection's user pointer, which the
 * queue keeps from open (a client's: from connect) until its close was delivered. What is
 * called once for each message is here; the rest of the class is Python, over the wrapped
 * functions. */
#include <stddef.h>

#include "native.h"

/* ---- from the library's handle to the object ---- */

static struct wpy_conn *new_conn(wsock_conn *conn, struct wpy_hooks *hooks)
{
    PyTypeObject *type = (PyTypeObject *)wpy_classes.connection;
    struct wpy_conn *self = (struct wpy_conn *)type->tp_alloc(type, 0);

    if (self == NULL)
        return NULL;
    wpy_handle_init(&self->handle, wsock_conn_ref(conn), WPY_conn);
    self->hooks = hooks;
    Py_INCREF(hooks);
    self->data = Py_NewRef(Py_None);
    self->info = wpy_request_take(conn);
    wpy_keep(hooks->queue, &self->kept, (PyObject *)self);
    wsock_conn_set_user(conn, self, NULL);
    return self;
}

struct wpy_conn *wpy_conn_of(wsock_conn *conn, struct wpy_hooks *hooks)
{
    struct wpy_conn *self = wpy_conn_object(conn);

    if (self == NULL) /* of a client that was started, or that ended before it opened */
        return new_conn(conn, hooks);
    Py_INCREF(self);
    return self;
}

struct wpy_conn *wpy_conn_object(const wsock_conn *conn)
{
    void *user = wsock_conn_get_user(conn);

    return wpy_is_pending(user) ? NULL : user;
}

PyObject *wpy_conn_shown(wsock_conn *conn)
{
    PyTypeObject *type = (PyTypeObject *)wpy_classes.connection;
    struct wpy_conn *self = wpy_conn_object(conn);

    if (self != NULL)
        return Py_NewRef((PyObject *)self);
    self = (struct wpy_conn *)type->tp_alloc(type, 0);
    if (self != NULL) {
        wpy_handle_init(&self->handle, wsock_conn_ref(conn), WPY_conn);
        self->data = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

struct wpy_conn *wpy_conn_opens(wsock_conn *conn, struct wpy_hooks *hooks)
{
    /* A server's has what its request left there (request.c). */
    return wpy_hooks_is_client(hooks) ? wpy_conn_of(conn, hooks) : new_conn(conn, hooks);
}

/* From here on nothing leads from the library's handle to the object. */
static void part(struct wpy_conn *self)
{
    if (wpy_handle_is_live(&self->handle) && wpy_conn_object(self->handle.pointer) == self)
        wsock_conn_set_user(self->handle.pointer, NULL, NULL);
}

static void let_go(struct wpy_conn *self)
{
    part(self);
    wpy_let_go(&self->kept);
}

static PyObject *let_go_now(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    let_go((struct wpy_conn *)self);
    Py_RETURN_NONE;
}

/* That it left its rooms was queued before its end was, but may be told after: so what lets
 * go of it is queued behind. @return false when it could not be */
static bool let_go_later(struct wpy_conn *self)
{
    PyObject *fn = PyObject_GetAttrString((PyObject *)self, "_let_go");
    PyObject *done = fn != NULL ? wpy_call_soon(self->hooks->queue, NULL, fn) : NULL;

    Py_XDECREF(fn);
    Py_XDECREF(done);
    if (done == NULL)
        PyErr_Clear();
    return done != NULL;
}

void wpy_conn_ended(struct wpy_conn *self)
{
    const bool later = self->joined && self->hooks != NULL && let_go_later(self);

    Py_CLEAR(self->hooks);
    if (!later)
        let_go(self);
}

/* ---- sending ---- */

static PyObject *sent(int r)
{
    if (r == 0)
        Py_RETURN_TRUE;
    if (r == WSOCK_EAGAIN)
        Py_RETURN_FALSE;
    return wpy_raise(r, NULL);
}

/* What is not said by the codec of the endpoint. @return (a new reference) or NULL */
static PyObject *encoded(const struct wpy_conn *self, PyObject *object)
{
    PyObject *encode = self->hooks != NULL ? self->hooks->fn[WPY_ENCODE] : NULL;

    return encode != NULL ? PyObject_CallOneArg(encode, object) : Py_NewRef(object);
}

static PyObject *send_object(struct wpy_conn *self, PyObject *object, PyObject *text,
                             PyObject *compress)
{
    wsock_conn *conn = wpy_pointer((PyObject *)self, WPY_conn);
    struct wpy_bytes bytes;
    int r;

    if (conn == NULL)
        return NULL;
    if (Py_IS_TYPE(object, &wpy_handle_type) &&
        ((struct wpy_handle *)object)->kind == WPY_message) {
        wsock_message *message = wpy_pointer(object, WPY_message);

        return message != NULL ? sent(wsock_conn_send_message(conn, message)) : NULL;
    }
    object = encoded(self, object);
    if (object == NULL)
        return NULL;
    if (wpy_payload_get(&bytes, object, text, compress) < 0) {
        Py_DECREF(object);
        return NULL;
    }
    r = wsock_conn_send(conn, bytes.type, bytes.data, bytes.len);
    wpy_bytes_release(&bytes);
    Py_DECREF(object);
    return sent(r);
}

/* send(data, text=None, compress=True) */
static PyObject *send(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                      PyObject *keywords)
{
    const Py_ssize_t named = keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
    PyObject *text = NULL, *compress = NULL;
    bool is_known = count == 1;

    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, i);

        if (PyUnicode_CompareWithASCIIString(name, "text") == 0)
            text = arguments[count + i];
        else if (PyUnicode_CompareWithASCIIString(name, "compress") == 0)
            compress = arguments[count + i];
        else
            is_known = false;
    }
    if (!is_known) {
        PyErr_SetString(PyExc_TypeError,
                        "send() takes one message, and the keywords text and compress");
        return NULL;
    }
    return send_object((struct wpy_conn *)self, arguments[0], text, compress);
}

static PyObject *call_between(PyObject *object, PyObject *fn)
{
    struct wpy_conn *self = (struct wpy_conn *)object;
    wsock_conn *conn = wpy_pointer(object, WPY_conn);

    if (conn == NULL)
        return NULL;
    if (self->hooks == NULL)
        return wpy_raise(WSOCK_ECLOSED, "it has ended");
    return wpy_call_soon(self->hooks->queue, conn, fn);
}

/* (first, every, function) in seconds */
static PyObject *start_timer(PyObject *object, PyObject *arguments)
{
    struct wpy_conn *self = (struct wpy_conn *)object;
    wsock_conn *conn = wpy_pointer(object, WPY_conn);
    double first, every;
    PyObject *fn;

    if (conn == NULL || !PyArg_ParseTuple(arguments, "ddO", &first, &every, &fn))
        return NULL;
    if (self->hooks == NULL)
        return wpy_raise(WSOCK_ECLOSED, "it has ended");
    return wpy_timer_start(self->hooks->queue, conn, first, every, fn);
}

/* close(code=1000, reason="") */
static PyObject *close_conn(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {(char *)"code", (char *)"reason", NULL};
    wsock_conn *conn = wpy_pointer(self, WPY_conn);
    const char *reason = "";
    int code = 1000, r;

    if (conn == NULL ||
        !PyArg_ParseTupleAndKeywords(arguments, keywords, "|is", names, &code, &reason))
        return NULL;
    r = wsock_conn_close(conn, code, *reason != '\0' ? reason : NULL);
    /* Who closes what is closing gets what was wanted. */
    if (r < 0 && r != WSOCK_ECLOSED)
        return wpy_raise(r, NULL);
    return PyBool_FromLong(r == 0);
}

/* ---- attributes ---- */

static PyObject *get_id(PyObject *object, void *Py_UNUSED(closure))
{
    const struct wpy_conn *self = (struct wpy_conn *)object;
    wsock_conn *conn = wpy_pointer((PyObject *)self, WPY_conn);

    return conn != NULL ? PyLong_FromUnsignedLongLong(wsock_conn_id(conn)) : NULL;
}

static PyObject *get_buffered(PyObject *self, void *Py_UNUSED(closure))
{
    wsock_conn *conn = wpy_pointer(self, WPY_conn);

    return conn != NULL ? PyLong_FromSize_t(wsock_conn_buffered(conn)) : NULL;
}

static PyObject *get_is_open(PyObject *self, void *Py_UNUSED(closure))
{
    const struct wpy_handle *handle = (struct wpy_handle *)self;

    return PyBool_FromLong(wpy_handle_is_live(handle) &&
                           wsock_conn_is_open(handle->pointer));
}

static PyObject *get_request(PyObject *object, void *Py_UNUSED(closure))
{
    struct wpy_conn *self = (struct wpy_conn *)object;
    wsock_request *request;

    if (self->request == NULL) {
        wsock_conn *conn = wpy_pointer(object, WPY_conn);

        if (conn == NULL)
            return NULL;
        request = wsock_conn_request(conn);
        self->request = request != NULL ? wpy_request_new(request) : Py_NewRef(Py_None);
    }
    return Py_XNewRef(self->request);
}

static PyObject *get_owner(PyObject *object, void *Py_UNUSED(closure))
{
    const struct wpy_conn *self = (struct wpy_conn *)object;

    return Py_NewRef(self->hooks != NULL && self->hooks->owner != NULL ? self->hooks->owner
                                                                       : Py_None);
}

static PyObject *get_identity(PyObject *self, void *Py_UNUSED(closure))
{
    wsock_conn *conn = wpy_pointer(self, WPY_conn);

    return conn != NULL ? wpy_text_unless_empty(wsock_conn_identity(conn)) : NULL;
}

static int set_identity(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    wsock_conn *conn = wpy_pointer(self, WPY_conn);
    const char *identity;
    int r;

    if (conn == NULL)
        return -1;
    if (value == NULL || value == Py_None) {
        PyErr_SetString(PyExc_TypeError, "an identity is a str, and stays");
        return -1;
    }
    if (wpy_string(&identity, value) < 0)
        return -1;
    r = wsock_conn_set_identity(conn, identity);
    if (r < 0)
        wpy_raise(r, r == WSOCK_EEXIST ? "it has an identity already" : NULL);
    return r < 0 ? -1 : 0;
}

static PyGetSetDef properties[] = {
    {"id", get_id, NULL, "A number that no other connection of this process has or had.",
     NULL},
    {"buffered", get_buffered, NULL,
     "Bytes that were sent and that the kernel has not taken yet.", NULL},
    {"is_open", get_is_open, NULL, "Whether it is open: until closing begins.", NULL},
    {"request", get_request, NULL,
     "The Request that opened it; None for a client's connection.", NULL},
    {"identity", get_identity, set_identity,
     "Who it is, as accept() said, or as was set here, once; None while nobody has.", NULL},
    {"_owner", get_owner, NULL, "The server or client it belongs to, until it ended.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define MEMBER(name, flags, text) \
    {#name, T_OBJECT, offsetof(struct wpy_conn, name), flags, text}
static PyMemberDef members[] = {
    MEMBER(data, 0, "The application's own: any object, at first None."),
    MEMBER(info, 0, "What on_request said of it beside the identity; else None."),
    MEMBER(close_info, READONLY, "How it ended, a CloseInfo; None before it has."),
    {NULL, 0, 0, 0, NULL},
};
#undef MEMBER

/* ---- the type ---- */

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct wpy_conn *self = (struct wpy_conn *)object;

    Py_VISIT(self->hooks);
    Py_VISIT(self->data);
    Py_VISIT(self->info);
    Py_VISIT(self->request);
    Py_VISIT(self->close_info);
    return 0;
}

static int clear(PyObject *object)
{
    struct wpy_conn *self = (struct wpy_conn *)object;

    Py_CLEAR(self->hooks);
    Py_CLEAR(self->data);
    Py_CLEAR(self->info);
    Py_CLEAR(self->request);
    Py_CLEAR(self->close_info);
    return 0;
}

/* Nobody keeps it: it has ended, or its queue was closed. */
static void dealloc(PyObject *object)
{
    struct wpy_conn *self = (struct wpy_conn *)object;

    PyObject_GC_UnTrack(self);
    clear(object);
    part(self);
    wpy_handle_drop(&self->handle);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {
    {"_let_go", let_go_now, METH_NOARGS, "Nothing is told of it any more."},
    {"_timer", start_timer, METH_VARARGS, "(first, every, fn) in seconds; every 0: once."},
    {"call", call_between, METH_O,
     "call($self, fn, /)\n--\n\n"
     "Call fn once, between the handlers of this connection, where they run.\n\n"
     "Not when it has ended before that. Any thread."},
    {"send", (PyCFunction)(void (*)(void))send, METH_FASTCALL | METH_KEYWORDS,
     "send($self, data, /, *, text=None, compress=True)\n--\n\n"
     "Queue one message: str is text, bytes-like is binary, unless text says otherwise.\n"
     "compress=False leaves it as it is where others are compressed, for secrets.\n\n"
     "Returns True, or False when the backlog is full: then nothing was queued, and\n"
     "on_drain follows. Raises Error (WSOCK_ECLOSED) when it is not open. Any thread."},
    {"close", (PyCFunction)(void (*)(void))close_conn, METH_VARARGS | METH_KEYWORDS,
     "close($self, /, code=1000, reason='')\n--\n\n"
     "Begin the closing handshake, behind what was sent before; on_close follows.\n\n"
     "Returns False when closing began before. Any thread."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject wpy_conn_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Conn",
    .tp_basicsize = sizeof(struct wpy_conn),
    .tp_base = &wpy_handle_type,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
    .tp_doc = "What the class Connection is built on.",
};
