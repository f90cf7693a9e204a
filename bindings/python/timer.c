/* SPDX-License-Identifier: MIT */
/* Timers of a queue, and calls on it. The library holds a ticket, which the queue keeps as
 * long as its function may run; the Timer object that a script gets may go before. */
#include <stdlib.h>

#include "native.h"

struct ticket {
    struct wpy_grave grave;
    struct wpy_kept kept; /* of fn */
    struct wpy_queue *queue; /* borrowed: its handlers run in no other's dispatch */
    struct wpy_timer *timer; /* nullable, borrowed */
};

struct wpy_timer {
    struct wpy_handle handle;
    struct ticket *ticket; /* NULL once the library let go of it */
    unsigned long long missed;
};

static void bury(struct wpy_grave *grave)
{
    struct ticket *ticket = (struct ticket *)(void *)grave;

    if (ticket->timer != NULL)
        ticket->timer->ticket = NULL;
    wpy_let_go(&ticket->kept);
    free(ticket);
}

/* Any thread. */
static void ticket_freed(void *user)
{
    wpy_grave_add(&((struct ticket *)user)->grave);
}

static struct ticket *new_ticket(struct wpy_queue *queue, PyObject *fn)
{
    struct ticket *ticket;

    if (!PyCallable_Check(fn)) {
        PyErr_Format(PyExc_TypeError, "expected a function, not %.100s", Py_TYPE(fn)->tp_name);
        return NULL;
    }
    wpy_graves_empty();
    ticket = calloc(1, sizeof *ticket);
    if (ticket == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    ticket->grave.bury = bury;
    ticket->queue = queue;
    wpy_keep(queue, &ticket->kept, fn);
    return ticket;
}

/* In a dispatch. */
static void run(struct ticket *ticket)
{
    PyObject *fn = Py_XNewRef(ticket->kept.object), *result;
    struct wpy_queue *queue = ticket->queue;

    if (fn == NULL)
        return;
    result = PyObject_CallNoArgs(fn);
    if (result == NULL)
        wpy_failed(queue, NULL, NULL);
    Py_XDECREF(result);
    Py_DECREF(fn);
}

static void run_call(void *user)
{
    run(user);
}

static void run_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    struct ticket *ticket = user;

    (void)timer;
    if (ticket->timer != NULL)
        ticket->timer->missed += missed;
    run(ticket);
}

static void run_post(wsock_conn *conn, void *user)
{
    (void)conn;
    run(user);
}

PyObject *wpy_call_soon(struct wpy_queue *self, wsock_conn *conn, PyObject *fn)
{
    wsock_queue *queue = wpy_pointer((PyObject *)self, WPY_queue);
    struct ticket *ticket;
    int r;

    if (queue == NULL)
        return NULL;
    ticket = new_ticket(self, fn);
    if (ticket == NULL)
        return NULL;
    r = conn != NULL ? wsock_conn_post(conn, run_post, ticket, ticket_freed)
                     : wsock_queue_post(queue, run_call, ticket, ticket_freed);
    if (r < 0) {
        bury(&ticket->grave);
        return wpy_raise(r, r == WSOCK_EAGAIN ? "65,536 calls are waiting" : NULL);
    }
    Py_RETURN_NONE;
}

static int milliseconds(uint64_t *out, double seconds)
{
    if (!(seconds >= 0 && seconds < 1e12)) {
        PyErr_SetString(PyExc_ValueError, "a time is a number of seconds, 0 or more");
        return -1;
    }
    *out = (uint64_t)(seconds * 1000 + 0.5);
    if (seconds > 0 && *out == 0)
        *out = 1;
    return 0;
}

PyObject *wpy_timer_start(struct wpy_queue *self, wsock_conn *conn, double first,
                          double every, PyObject *fn)
{
    wsock_queue *queue = wpy_pointer((PyObject *)self, WPY_queue);
    uint64_t first_ms, every_ms;
    struct wpy_timer *timer;
    struct ticket *ticket;
    wsock_timer *made = NULL;
    int r;

    if (queue == NULL || milliseconds(&first_ms, first) < 0 ||
        milliseconds(&every_ms, every) < 0)
        return NULL;
    ticket = new_ticket(self, fn);
    if (ticket == NULL)
        return NULL;
    timer = PyObject_New(struct wpy_timer, &wpy_timer_type);
    if (timer == NULL) {
        bury(&ticket->grave);
        return NULL;
    }
    wpy_handle_init(&timer->handle, NULL, WPY_timer);
    timer->missed = 0;
    timer->ticket = ticket;
    ticket->timer = timer;
    r = conn != NULL ? wsock_conn_timer(conn, &made, first_ms, every_ms, run_timer, ticket,
                                        ticket_freed)
                     : wsock_queue_timer(queue, &made, first_ms, every_ms, run_timer, ticket,
                                         ticket_freed);
    if (r < 0) {
        bury(&ticket->grave);
        Py_DECREF(timer);
        return wpy_raise(r, NULL);
    }
    timer->handle.pointer = made;
    return (PyObject *)timer;
}

/* ---- the type ---- */

static PyObject *cancel(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct wpy_timer *self = (struct wpy_timer *)object;
    struct ticket *ticket = self->ticket;

    if (wpy_handle_is_live(&self->handle))
        wsock_timer_stop(self->handle.pointer);
    if (ticket != NULL)
        wpy_let_go(&ticket->kept);
    wpy_graves_empty();
    Py_RETURN_NONE;
}

static PyObject *get_missed(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct wpy_timer *)self)->missed);
}

static PyObject *get_active(PyObject *self, void *Py_UNUSED(closure))
{
    const struct ticket *ticket = ((struct wpy_timer *)self)->ticket;

    return PyBool_FromLong(ticket != NULL && ticket->kept.object != NULL);
}

static void dealloc(PyObject *object)
{
    struct wpy_timer *self = (struct wpy_timer *)object;

    if (self->ticket != NULL)
        self->ticket->timer = NULL;
    wpy_handle_drop(&self->handle);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {
    {"cancel", cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nIt does not run any more. Any thread; also inside its own function."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"missed", get_missed, NULL,
     "How many ticks were skipped because the host was too busy for them.", NULL},
    {"active", get_active, NULL, "Whether it may still run.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject wpy_timer_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock.Timer",
    .tp_basicsize = sizeof(struct wpy_timer),
    .tp_base = &wpy_handle_type,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = dealloc,
    .tp_methods = methods,
    .tp_getset = properties,
    .tp_doc = "What after() and every() return. A timer that nobody holds goes on running.",
};
