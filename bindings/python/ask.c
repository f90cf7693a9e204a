/* SPDX-License-Identifier: MIT */
/* Hooks of rooms for pages: the questions as objects, and the way from the library's one
 * to the function of Python's. How what a hook returns or raises becomes an answer is
 * Python (_asks.py); what nobody answers the library refuses when the object goes. */
#include <stddef.h>

#include "native.h"

struct wpy_ask {
    struct wpy_handle handle;
    PyObject *conn;
    char answered, deferred;
};

/* ---- what is asked ---- */

static enum wpy_event event_of(int kind)
{
    switch (kind) {
    case WSOCK_ASK_HELLO:
    case WSOCK_ASK_REFRESH:
        return WPY_ON_HELLO;
    case WSOCK_ASK_JOIN:
        return WPY_ON_JOIN;
    case WSOCK_ASK_PUBLISH:
    case WSOCK_ASK_DIRECT:
        return WPY_ON_PUBLISH;
    case WSOCK_ASK_CALL:
        return WPY_ON_CALL;
    default:
        return WPY_EVENTS; /* of a later version: refused */
    }
}

static struct wpy_ask *new_ask(wsock_ask *ask)
{
    PyTypeObject *type = (PyTypeObject *)wpy_classes.ask;
    struct wpy_ask *self = (struct wpy_ask *)type->tp_alloc(type, 0);

    if (self == NULL)
        return NULL;
    wpy_handle_init(&self->handle, wsock_ask_ref(ask), WPY_ask);
    self->conn = wpy_conn_shown(wsock_ask_conn(ask));
    if (self->conn == NULL)
        Py_CLEAR(self);
    return self;
}

static void consult(struct wpy_hooks *hooks, enum wpy_event event, wsock_ask *ask)
{
    struct wpy_ask *self = new_ask(ask);
    PyObject *fn = Py_NewRef(hooks->fn[event]);
    PyObject *result = self != NULL ? PyObject_CallOneArg(fn, (PyObject *)self) : NULL;

    Py_DECREF(fn);
    if (result == NULL) {
        wpy_failed(hooks->queue, hooks->fn[WPY_ON_ERROR], (PyObject *)self);
        if (self == NULL || (!self->answered && !self->deferred))
            wsock_ask_refuse(ask, "failed", "the application failed", 1);
    }
    Py_XDECREF(result);
    Py_XDECREF(self);
}

static void on_ask(wsock_ask *ask, void *user)
{
    const enum wpy_event event = event_of(wsock_ask_kind(ask));
    struct wpy_hooks *hooks = wpy_hooks_of(user);

    if (hooks != NULL && event < WPY_EVENTS && hooks->fn[event] != NULL)
        consult(hooks, event, ask);
    Py_XDECREF(hooks);
}

bool wpy_is_ask(enum wpy_event event)
{
    return event == WPY_ON_HELLO || event == WPY_ON_JOIN || event == WPY_ON_PUBLISH ||
           event == WPY_ON_CALL;
}

int wpy_serve_rooms(struct wpy_hooks *hooks, enum wpy_event event, bool on)
{
    wsock_endpoint *endpoint = wpy_pointer(hooks->target, WPY_endpoint);
    wsock_rooms_hooks fn = {.size = sizeof fn};
    const struct {
        enum wpy_event event;
        wsock_ask_fn *fn;
    } all[] = {{WPY_ON_HELLO, &fn.on_hello},
               {WPY_ON_JOIN, &fn.on_join},
               {WPY_ON_PUBLISH, &fn.on_publish},
               {WPY_ON_CALL, &fn.on_call}};
    int r;

    if (endpoint == NULL)
        return -1;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].event == event ? on : hooks->fn[all[i].event] != NULL)
            *all[i].fn = on_ask;
    r = wsock_endpoint_serve_rooms(endpoint, &fn, wpy_sink_ref(hooks->sink),
                                   wpy_sink_unref);
    if (r < 0) {
        wpy_sink_unref(hooks->sink);
        wpy_raise(r, r == WSOCK_EBUSY
                         ? "rooms are served where on_message and on_part are "
                           "not set, and before start() and run()"
                         : NULL);
    }
    return r < 0 ? -1 : 0;
}

/* ---- what it says ---- */

static PyObject *get_kind(PyObject *self, void *Py_UNUSED(closure))
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);

    return ask != NULL ? PyLong_FromLong(wsock_ask_kind(ask)) : NULL;
}

#define TEXT(name)                                                        \
    static PyObject *get_##name(PyObject *self, void *Py_UNUSED(closure)) \
    {                                                                     \
        wsock_ask *ask = wpy_pointer(self, WPY_ask);                      \
                                                                          \
        return ask != NULL ? wpy_text(wsock_ask_##name(ask)) : NULL;      \
    }
TEXT(name)
TEXT(token)
TEXT(event)
TEXT(key)
#undef TEXT

static PyObject *get_room(PyObject *self, void *Py_UNUSED(closure))
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    const char *room = ask != NULL ? wsock_ask_room(ask) : NULL;

    if (ask == NULL)
        return NULL;
    return wpy_text_unless_empty(room);
}

/* (type, payload), or None where nothing is said. */
static PyObject *get_data(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    const void *data = NULL;
    size_t len = 0;
    int type;

    if (ask == NULL)
        return NULL;
    type = wsock_ask_data(ask, &data, &len);
    if (type <= 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(iN)", type, wpy_payload(type & ~WSOCK_JSON, data, len));
}

/* ---- what is changed, and how it is answered ---- */

static PyObject *done(int r)
{
    if (r < 0)
        return wpy_raise(r, r == WSOCK_ECLOSED ? "it was answered, or is too late to be"
                                               : NULL);
    Py_RETURN_NONE;
}

static PyObject *answered(PyObject *self, int r)
{
    if (r == 0 || r == WSOCK_ECLOSED)
        ((struct wpy_ask *)self)->answered = 1;
    return done(r);
}

static PyObject *set_identity(PyObject *self, PyObject *object)
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    const char *identity;

    if (ask == NULL || wpy_string(&identity, object) < 0)
        return NULL;
    return done(wsock_ask_set_identity(ask, identity));
}

/* (str or None) */
static PyObject *set_info(PyObject *self, PyObject *object)
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    struct wpy_bytes json = WPY_NO_BYTES;
    int r;

    if (ask == NULL)
        return NULL;
    if (object == Py_None)
        return done(wsock_ask_set_info(ask, NULL, 0));
    if (wpy_bytes_get(&json, object) < 0)
        return NULL;
    r = wsock_ask_set_info(ask, json.data, json.len);
    wpy_bytes_release(&json);
    return done(r);
}

static PyObject *set_expiry(PyObject *self, PyObject *object)
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    const long long ms = PyLong_AsLongLong(object);

    if (ask == NULL || (ms == -1 && PyErr_Occurred() != NULL))
        return NULL;
    return done(wsock_ask_set_expiry_ms(ask, ms));
}

/* (payload, is it JSON) */
static PyObject *set_data(PyObject *self, PyObject *arguments)
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    struct wpy_bytes bytes = WPY_NO_BYTES;
    PyObject *object;
    int is_json, r;

    if (ask == NULL || !PyArg_ParseTuple(arguments, "Op", &object, &is_json) ||
        wpy_bytes_get(&bytes, object) < 0)
        return NULL;
    r = wsock_ask_set_data(ask, bytes.type | (is_json ? WSOCK_JSON : 0), bytes.data,
                           bytes.len);
    wpy_bytes_release(&bytes);
    return done(r);
}

static PyObject *accept(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);

    return ask != NULL ? answered(self, wsock_ask_accept(ask)) : NULL;
}

/* (code, text or None, retry) */
static PyObject *refuse(PyObject *self, PyObject *arguments)
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    const char *code, *text;
    int retry;

    if (ask == NULL || !PyArg_ParseTuple(arguments, "szp", &code, &text, &retry))
        return NULL;
    return answered(self, wsock_ask_refuse(ask, code, text, retry));
}

static PyObject *reply(PyObject *self, PyObject *object)
{
    wsock_ask *ask = wpy_pointer(self, WPY_ask);
    struct wpy_bytes json = WPY_NO_BYTES;
    PyObject *result;

    if (ask == NULL || wpy_bytes_get(&json, object) < 0)
        return NULL;
    result = answered(self, wsock_ask_reply(ask, json.data, json.len));
    wpy_bytes_release(&json);
    return result;
}

/* ---- the type ---- */

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct wpy_ask *)self)->conn);
    return 0;
}

static int clear(PyObject *self)
{
    Py_CLEAR(((struct wpy_ask *)self)->conn);
    return 0;
}

static void dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    wpy_handle_drop(&((struct wpy_ask *)self)->handle);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {
    {"_data", get_data, METH_NOARGS, "(type, payload), or None."},
    {"_set_identity", set_identity, METH_O, "Who it is."},
    {"_set_info", set_info, METH_O, "What others see of it: JSON, or None."},
    {"_set_expiry", set_expiry, METH_O, "For how many milliseconds that is good."},
    {"_set_data", set_data, METH_VARARGS, "(payload, is it JSON): what is said instead."},
    {"_accept", accept, METH_NOARGS, "Allow it."},
    {"_refuse", refuse, METH_VARARGS, "(code, text or None, retry)"},
    {"_reply", reply, METH_O, "Answer a call with JSON."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"_kind", get_kind, NULL, "A number.", NULL},
    {"room", get_room, NULL, "The room that it is about, or None.", NULL},
    {"name", get_name, NULL,
     "Of a hello: who the client wants to be; of a direct message: the identity that it "
     "is "
     "for; of a call: its name; else None.",
     NULL},
    {"token", get_token, NULL,
     "Of hello, refresh and join: what the client proves itself with; else None.", NULL},
    {"event", get_event, NULL,
     "Of publish and direct: \"message\", or what the client says; else None.", NULL},
    {"key", get_key, NULL, "Of publish: what the message is about; else None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"conn", T_OBJECT, offsetof(struct wpy_ask, conn), READONLY,
     "Who asks, a Connection."},
    {"_answered", T_BOOL, offsetof(struct wpy_ask, answered), 0,
     "Whether it was answered."},
    {"_deferred", T_BOOL, offsetof(struct wpy_ask, deferred), 0, "To be answered later."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject wpy_ask_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Ask",
    .tp_basicsize = sizeof(struct wpy_ask),
    .tp_base = &wpy_handle_type,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
    .tp_doc = "What the class Ask is built on.",
};
