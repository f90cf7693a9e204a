/* SPDX-License-Identifier: MIT */
/* What is told once and later: what became of a message, how a join went, who is there on
 * all nodes. The library holds a Once, which the queue keeps until it is called or the
 * queue is closed: behind that nothing is told any more. */
#include <stddef.h>

#include "native.h"

struct wpy_once {
    PyObject_HEAD struct wpy_kept kept; /* of itself */
    struct wpy_queue *queue;            /* borrowed: it keeps this */
    PyObject *fn;
};

struct wpy_once *wpy_once_new(PyObject *queue, PyObject *fn)
{
    struct wpy_once *self;

    if (!PyObject_TypeCheck(queue, &wpy_queue_type) ||
        wpy_pointer(queue, WPY_queue) == NULL) {
        if (PyErr_Occurred() == NULL)
            PyErr_SetString(PyExc_TypeError, "expected a Queue");
        return NULL;
    }
    if (!PyCallable_Check(fn)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.100s",
                     Py_TYPE(fn)->tp_name);
        return NULL;
    }
    self = PyObject_GC_New(struct wpy_once, &wpy_once_type);
    if (self == NULL)
        return NULL;
    self->queue = (struct wpy_queue *)queue;
    self->fn = Py_NewRef(fn);
    PyObject_GC_Track(self);
    wpy_keep(self->queue, &self->kept, (PyObject *)self);
    Py_DECREF(self); /* the queue has it */
    return self;
}

void wpy_once_drop(struct wpy_once *self)
{
    if (self != NULL)
        wpy_let_go(&self->kept);
}

/* @param arguments (consumed, nullable) NULL: they could not be made */
static void call(struct wpy_once *self, PyObject *arguments)
{
    struct wpy_queue *queue = self->queue;
    PyObject *result = NULL;

    Py_INCREF(self);
    Py_INCREF(queue);
    wpy_let_go(&self->kept);
    if (arguments != NULL)
        result = PyObject_CallObject(self->fn, arguments);
    if (result == NULL)
        wpy_failed(queue, NULL, NULL);
    Py_XDECREF(result);
    Py_XDECREF(arguments);
    Py_DECREF(queue);
    Py_DECREF(self);
}

void wpy_once_published(const wsock_published *published, void *user)
{
    call(user, Py_BuildValue("(iKKLN)", (int)published->outcome,
                             (unsigned long long)published->epoch,
                             (unsigned long long)published->offset,
                             (long long)published->time_ms, wpy_text(published->why)));
}

PyObject *wpy_joined(const wsock_joined *joined)
{
    PyObject *recovered = joined->recovered < 0 ? Py_NewRef(Py_None)
                                                : PyBool_FromLong(joined->recovered);

    return Py_BuildValue("(NKKK)", recovered, (unsigned long long)joined->count,
                         (unsigned long long)joined->epoch,
                         (unsigned long long)joined->offset);
}

void wpy_once_joined(wsock_conn *conn, const wsock_joined *joined, void *user)
{
    call(user, Py_BuildValue("(NN)", wpy_conn_shown(conn), wpy_joined(joined)));
}

/* ---- who is there on all nodes ---- */

/* Put one into a list. @param entry (consumed, nullable) @param list (in, out) NULL once
 * something failed */
static void put(PyObject **list, PyObject *entry)
{
    if (entry == NULL || *list == NULL || PyList_Append(*list, entry) < 0)
        Py_CLEAR(*list);
    Py_XDECREF(entry);
}

/* @param list (consumed, nullable) */
static void tell_list(void *user, PyObject *list, const char *why)
{
    call(user, list != NULL ? Py_BuildValue("(NN)", list, wpy_text(why)) : NULL);
}

static void on_nodes(const wsock_node *nodes, size_t count, const char *why, void *user)
{
    PyObject *list = PyList_New(0);

    for (size_t i = 0; list != NULL && i < count; i++)
        put(&list, Py_BuildValue("(NNKN)", wpy_text(nodes[i].id), wpy_text(nodes[i].name),
                                 (unsigned long long)nodes[i].conns,
                                 PyBool_FromLong(nodes[i].is_self)));
    tell_list(user, list, why);
}

static void on_people(const wsock_person *people, size_t count, const char *why,
                      void *user)
{
    PyObject *list = PyList_New(0);

    for (size_t i = 0; list != NULL && i < count; i++)
        put(&list, wpy_person(&people[i]));
    tell_list(user, list, why);
}

/* @return None, or NULL with an exception when it will not be called */
static PyObject *asked(struct wpy_once *once, int r)
{
    if (r >= 0)
        Py_RETURN_NONE;
    wpy_once_drop(once);
    return wpy_raise(r, r == WSOCK_ENOTSUP ? "it is no node of a cluster" : NULL);
}

/* server_nodes(server, queue, fn): fn([(id, name, connections, is_self)], why) */
static PyObject *server_nodes(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *object, *queue, *fn;
    struct wpy_once *once;
    wsock_server *server;

    if (!PyArg_ParseTuple(arguments, "OOO", &object, &queue, &fn))
        return NULL;
    server = wpy_pointer(object, WPY_server);
    once = server != NULL ? wpy_once_new(queue, fn) : NULL;
    return once != NULL ? asked(once, wsock_server_nodes(server, on_nodes, once)) : NULL;
}

/* people_everywhere(room, queue, fn): fn([(identity, info, nodes)], why) */
static PyObject *people_everywhere(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *object, *queue, *fn;
    struct wpy_once *once;
    wsock_room *room;

    if (!PyArg_ParseTuple(arguments, "OOO", &object, &queue, &fn))
        return NULL;
    room = wpy_pointer(object, WPY_room);
    once = room != NULL ? wpy_once_new(queue, fn) : NULL;
    return once != NULL ? asked(once, wsock_room_people_everywhere(room, on_people, once))
                        : NULL;
}

/* server_cluster(server): (state, why) */
static PyObject *server_cluster(PyObject *Py_UNUSED(module), PyObject *object)
{
    wsock_server *server = wpy_pointer(object, WPY_server);
    char why[512] = "";
    int state;

    if (server == NULL)
        return NULL;
    state = wsock_server_cluster(server, why, sizeof why);
    return Py_BuildValue("(iN)", state, wpy_text(why));
}

PyMethodDef wpy_cluster_functions[] = {
    {"server_nodes", server_nodes, METH_VARARGS,
     "(server, queue, fn): fn([(id, name, connections, is it this one)], why)"},
    {"people_everywhere", people_everywhere, METH_VARARGS,
     "(room, queue, fn): fn([(identity, info, nodes)], why)"},
    {"server_cluster", server_cluster, METH_O, "(server): (state, why)"},
    {NULL, NULL, 0, NULL},
};

/* ---- the type ---- */

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct wpy_once *)self)->fn);
    return 0;
}

static int clear(PyObject *Py_UNUSED(self))
{
    return 0; /* the queue lets go of it */
}

static void dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((struct wpy_once *)self)->fn);
    PyObject_GC_Del(self);
}

PyTypeObject wpy_once_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Once",
    .tp_basicsize = sizeof(struct wpy_once),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_doc = "A function that is called once.",
};
