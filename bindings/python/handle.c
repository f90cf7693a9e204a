/* SPDX-License-Identifier: MIT */
/* Handles: a Python object for a reference to an object of the library's. They know their
 * kind, and the process that made them: the child of a fork has none of the threads that
 * its handles would need, and the locks may be held for ever. */
#include "native.h"

static unsigned epoch = 1;

static void drop_server(void *pointer)
{
    wsock_server_free(pointer);
}

static void drop_queue(void *pointer)
{
    wsock_queue_close(pointer);
    wsock_queue_unref(pointer);
}

#define DROP(kind)                            \
    static void drop_##kind(void *pointer)    \
    {                                         \
        wsock_##kind##_unref(pointer);        \
    }
DROP(endpoint)
DROP(request)
DROP(conn)
DROP(client)
DROP(message)
DROP(room)
DROP(timer)
DROP(jwt_key)
DROP(jwt)
DROP(ask)
#undef DROP

static const struct {
    const char *name;
    void (*drop)(void *pointer);
} kinds[WPY_KINDS] = {
    [WPY_runtime] = {"runtime", wpy_runtime_doom}, [WPY_server] = {"server", drop_server},
    [WPY_endpoint] = {"endpoint", drop_endpoint}, [WPY_request] = {"request", drop_request},
    [WPY_conn] = {"connection", drop_conn}, [WPY_client] = {"client", drop_client},
    [WPY_message] = {"message", drop_message}, [WPY_room] = {"room", drop_room},
    [WPY_queue] = {"queue", drop_queue}, [WPY_timer] = {"timer", drop_timer},
    [WPY_jwt_key] = {"key of tokens", drop_jwt_key}, [WPY_jwt] = {"token", drop_jwt},
    [WPY_ask] = {"question", drop_ask},
};

bool wpy_epoch_is_now(unsigned of)
{
    return of == epoch;
}

bool wpy_handle_is_live(const struct wpy_handle *handle)
{
    return handle->pointer != NULL && handle->epoch == epoch;
}

void wpy_handle_init(struct wpy_handle *handle, void *pointer, enum wpy_kind kind)
{
    handle->pointer = pointer;
    handle->kind = kind;
    handle->epoch = epoch;
}

void wpy_handle_drop(struct wpy_handle *handle)
{
    void *pointer = handle->pointer;

    handle->pointer = NULL;
    if (pointer != NULL && handle->epoch == epoch)
        kinds[handle->kind].drop(pointer);
}

PyObject *wpy_handle(void *pointer, enum wpy_kind kind)
{
    struct wpy_handle *handle;

    if (pointer == NULL)
        return Py_NewRef(Py_None);
    handle = PyObject_New(struct wpy_handle, &wpy_handle_type);
    if (handle == NULL) {
        kinds[kind].drop(pointer);
        return NULL;
    }
    wpy_handle_init(handle, pointer, kind);
    return (PyObject *)handle;
}

void *wpy_pointer(PyObject *object, enum wpy_kind kind)
{
    const struct wpy_handle *handle = (struct wpy_handle *)object;

    if (!PyObject_TypeCheck(object, &wpy_handle_type) || handle->kind != kind) {
        PyErr_Format(PyExc_TypeError, "expected a wsock %s, not %.100s", kinds[kind].name,
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (handle->epoch != epoch) {
        wpy_raise(WSOCK_ECLOSED, "it belongs to the process that forked this one");
        return NULL;
    }
    if (handle->pointer == NULL)
        wpy_raise(WSOCK_ECLOSED, "it was closed");
    return handle->pointer;
}

/* ---- errors ---- */

PyObject *wpy_raise(int code, const char *detail)
{
    PyObject *error = NULL, *text;

    if (code == WSOCK_ENOMEM)
        return PyErr_NoMemory();
    if (detail == NULL)
        detail = wsock_strerror(code);
    /* A name in it that is too long was cut, perhaps within a character. */
    text = PyUnicode_DecodeUTF8(detail, (Py_ssize_t)strlen(detail), "replace");
    if (text != NULL)
        error = PyObject_CallFunction(wpy_classes.error, "iN", code, text);
    if (error != NULL) {
        PyErr_SetObject(wpy_classes.error, error);
        Py_DECREF(error);
    }
    return NULL;
}

static const char *detail_of(const struct wpy_handle *handle)
{
    switch (handle->kind) {
    case WPY_runtime:
        return wsock_runtime_error(handle->pointer);
    case WPY_server:
        return wsock_server_error(handle->pointer);
    case WPY_endpoint:
        return wsock_endpoint_error(handle->pointer);
    case WPY_client:
        return wsock_client_error(handle->pointer);
    default:
        return NULL;
    }
}

/* The sentence of an object is about its last failure, which need not be this one: not
 * all calls say one. Where it says nothing of them the text of the code does. */
static bool says_why(int code)
{
    return code != WSOCK_ECLOSED && code != WSOCK_EAGAIN && code != WSOCK_EDEADLK;
}

PyObject *wpy_raise_of(PyObject *object, int code)
{
    const char *detail = NULL;

    if (object != NULL && PyTuple_Check(object) && PyTuple_GET_SIZE(object) > 0)
        object = PyTuple_GET_ITEM(object, 0);
    if (says_why(code) && object != NULL && PyObject_TypeCheck(object, &wpy_handle_type))
        detail = detail_of((struct wpy_handle *)object);
    return wpy_raise(code, detail);
}

/* ---- the type ---- */

static void dealloc(PyObject *self)
{
    wpy_handle_drop((struct wpy_handle *)self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *repr(PyObject *self)
{
    const struct wpy_handle *handle = (struct wpy_handle *)self;

    return PyUnicode_FromFormat("<wsock %s handle at %p>", kinds[handle->kind].name, self);
}

static PyObject *drop(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    wpy_handle_drop((struct wpy_handle *)self);
    Py_RETURN_NONE;
}

static PyObject *is_live(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(wpy_handle_is_live((struct wpy_handle *)self));
}

static PyMethodDef methods[] = {
    {"_drop", drop, METH_NOARGS, "Let go of what it refers to."},
    {"_is_live", is_live, METH_NOARGS, "Is it of this process, and not let go of?"},
    {NULL, NULL, 0, NULL},
};

PyTypeObject wpy_handle_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Handle",
    .tp_basicsize = sizeof(struct wpy_handle),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_dealloc = dealloc,
    .tp_repr = repr,
    .tp_methods = methods,
    .tp_doc = "A reference to an object of the library's.",
};

void wpy_forked(void)
{
    epoch++;
    wpy_graves_forget();
}
