/* SPDX-License-Identifier: MIT */
/* Requests. While one waits for its answer its queue keeps the object, so that what is told
 * of it later, on_request_cancelled, finds the same; what the answer says of the peer waits
 * in the request's user pointer, which becomes that of the connection. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "native.h"

/* What the user pointer of a request is, and of its connection until that has opened. */
struct pending {
    struct wpy_grave grave;
    PyObject *info; /* nullable */
    struct wpy_request *request; /* borrowed; NULL once it is answered or gone */
};

static void bury(struct wpy_grave *grave)
{
    struct pending *pending = (struct pending *)(void *)grave;

    Py_XDECREF(pending->info);
    free(pending);
}

/* A connection that has an identity may be found before it has opened for Python: so the
 * pointer shows what it is, by being odd. */
static void *marked(struct pending *pending)
{
    return (char *)pending + 1;
}

bool wpy_is_pending(const void *user)
{
    return ((uintptr_t)user & 1) != 0;
}

/* @param user (nullable) */
static struct pending *unmarked(void *user)
{
    return wpy_is_pending(user) ? (struct pending *)(void *)((char *)user - 1) : NULL;
}

/* Any thread. */
static void pending_freed(void *user)
{
    wpy_grave_add(&unmarked(user)->grave);
}

/* A connection of a server is not open while its user pointer is of this kind. */
static struct pending *pending_of(wsock_request *request)
{
    return unmarked(wsock_request_get_user(request));
}

PyObject *wpy_request_new(wsock_request *request)
{
    PyTypeObject *type = (PyTypeObject *)wpy_classes.request;
    struct wpy_request *self = (struct wpy_request *)type->tp_alloc(type, 0);

    if (self != NULL)
        wpy_handle_init(&self->handle, wsock_request_ref(request), WPY_request);
    return (PyObject *)self;
}

int wpy_request_await(struct wpy_request *self, struct wpy_queue *queue)
{
    struct pending *pending = calloc(1, sizeof *pending);

    if (pending == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    pending->grave.bury = bury;
    pending->request = self;
    wsock_request_set_user(self->handle.pointer, marked(pending), pending_freed);
    self->pending = pending;
    wpy_keep(queue, &self->kept, (PyObject *)self);
    return 0;
}

struct wpy_request *wpy_request_pending(wsock_request *request)
{
    const struct pending *pending = pending_of(request);

    if (pending == NULL || pending->request == NULL)
        return NULL;
    Py_INCREF(pending->request);
    return pending->request;
}

/* It waits for no answer any more. */
static void settle(struct wpy_request *self)
{
    if (self->pending != NULL)
        self->pending->request = NULL;
    self->pending = NULL;
    wpy_let_go(&self->kept);
}

void wpy_request_settled(struct wpy_request *self)
{
    self->answered = 1;
    settle(self);
}

PyObject *wpy_request_take(wsock_conn *conn)
{
    struct pending *pending = unmarked(wsock_conn_get_user(conn));
    PyObject *info = pending != NULL ? pending->info : NULL;

    if (pending != NULL)
        pending->info = NULL;
    return info;
}

/* What the connection will say; before accept, because its on_open may be dispatched by
 * another thread. */
static PyObject *set_info(PyObject *object, PyObject *info)
{
    struct wpy_request *self = (struct wpy_request *)object;

    if (wpy_pointer(object, WPY_request) == NULL)
        return NULL;
    if (self->pending != NULL)
        Py_XSETREF(self->pending->info, Py_NewRef(info));
    Py_RETURN_NONE;
}

static PyObject *settled(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    wpy_request_settled((struct wpy_request *)self);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static void dealloc(PyObject *object)
{
    struct wpy_request *self = (struct wpy_request *)object;

    PyObject_GC_UnTrack(self);
    if (self->pending != NULL && wpy_handle_is_live(&self->handle))
        self->pending->request = NULL;
    wpy_handle_drop(&self->handle);
    Py_TYPE(self)->tp_free(self);
}

/* Nothing of its own; the class over it has a dict. */
static int traverse(PyObject *Py_UNUSED(self), visitproc Py_UNUSED(visit), void *Py_UNUSED(arg))
{
    return 0;
}

static PyMethodDef methods[] = {
    {"_set_info", set_info, METH_O, "(info) of the connection to be."},
    {"_settled", settled, METH_NOARGS, "It was answered."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_answered", T_BOOL, offsetof(struct wpy_request, answered), 0, "Whether it was answered."},
    {"_deferred", T_BOOL, offsetof(struct wpy_request, deferred), 0, "To be answered later."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject wpy_request_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Request",
    .tp_basicsize = sizeof(struct wpy_request),
    .tp_base = &wpy_handle_type,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_methods = methods,
    .tp_members = members,
    .tp_doc = "What the class Request is built on.",
};
