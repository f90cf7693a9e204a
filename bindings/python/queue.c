/* SPDX-License-Identifier: MIT */
/* Queues: dispatching with the GIL held, waiting without it, what becomes of exceptions in
 * handlers, and what a queue keeps alive: connections from open until their close was
 * delivered, requests until they are answered, the functions of timers and calls. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "native.h"

/* ---- what is kept ---- */

void wpy_keep(struct wpy_queue *queue, struct wpy_kept *kept, PyObject *object)
{
    kept->object = Py_NewRef(object);
    kept->next = queue->kept.next;
    kept->prev = &queue->kept;
    kept->next->prev = kept;
    queue->kept.next = kept;
}

void wpy_let_go(struct wpy_kept *kept)
{
    PyObject *object = kept->object;

    if (kept->next == NULL)
        return;
    kept->next->prev = kept->prev;
    kept->prev->next = kept->next;
    kept->next = kept->prev = NULL;
    kept->object = NULL;
    Py_DECREF(object);
}

static void let_all_go(struct wpy_queue *queue)
{
    while (queue->kept.next != &queue->kept) {
        struct wpy_kept *kept = queue->kept.next;

        if (PyObject_TypeCheck(kept->object, &wpy_conn_type))
            wpy_conn_ended((struct wpy_conn *)kept->object);
        else
            wpy_let_go(kept);
    }
}

/* ---- exceptions in handlers ---- */

/* @return the exception that is set, with its traceback, and none is any more. */
static PyObject *take_exception(void)
{
    PyObject *type, *value, *trace;

    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL)
        PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

/* With the exception set: it leaves the dispatch that is under way. */
static void let_out(struct wpy_queue *queue)
{
    PyObject *error = take_exception();

    if (queue->failure == NULL)
        queue->failure = error;
    else
        Py_XDECREF(error);
    wsock_queue_wake(queue->handle.pointer);
}

static bool hand_to(PyObject *handler, PyObject *error, PyObject *subject)
{
    PyObject *result = PyObject_CallFunctionObjArgs(handler, error, subject, NULL);

    Py_XDECREF(result);
    return result != NULL;
}

void wpy_failed(struct wpy_queue *queue, PyObject *own, PyObject *subject)
{
    PyObject *handler = own != NULL ? own : queue->on_error, *error;

    if (queue->lets_out || !PyErr_ExceptionMatches(PyExc_Exception)) {
        let_out(queue);
        return;
    }
    error = take_exception();
    handler = Py_NewRef(handler != NULL ? handler : wpy_classes.on_error);
    if (subject == NULL)
        subject = Py_None;
    Py_INCREF(subject);
    if (!hand_to(handler, error, subject)) {
        /* on_error failed itself: what it failed with is logged, and the connection ends. */
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            let_out(queue);
        } else {
            PyErr_WriteUnraisable(handler);
            if (!hand_to(wpy_classes.on_error, error, subject))
                PyErr_WriteUnraisable(wpy_classes.on_error);
        }
    }
    Py_DECREF(subject);
    Py_DECREF(handler);
    Py_DECREF(error);
}

/* ---- dispatching ---- */

/* @return how many handlers ran, or -1 with an exception. */
static int dispatch(struct wpy_queue *self, size_t max, bool lets_out)
{
    wsock_queue *queue = wpy_pointer((PyObject *)self, WPY_queue);
    int r;

    if (queue == NULL)
        return -1;
    if (self->thread != 0) {
        wpy_raise(WSOCK_EBUSY, "another dispatch of this queue is under way");
        return -1;
    }
    Py_INCREF(self); /* a handler may drop the last */
    wpy_graves_empty();
    self->thread = PyThread_get_thread_ident();
    self->lets_out = lets_out;
    r = wsock_queue_dispatch(queue, max, 0);
    if (self->log != NULL && wpy_log_tell(self->log) < 0)
        wpy_failed(self, NULL, NULL);
    self->thread = 0;
    if (self->failure != NULL) {
        PyObject *failure = self->failure;

        self->failure = NULL;
        PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
        Py_DECREF(failure);
        r = -1;
    } else if (r == WSOCK_ECLOSED && self->handle.pointer == NULL) {
        r = 0; /* a handler closed it */
    } else if (r < 0) {
        wpy_raise(r, NULL);
        r = -1;
    }
    Py_DECREF(self);
    return r;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Without the GIL. @param wake_fd of signals, -1: none. @return as poll(). */
static int poll_for(wsock_queue *queue, int wake_fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = wsock_queue_fd(queue), .events = POLLIN},
                           {.fd = wake_fd, .events = POLLIN}};
    PyThreadState *state = PyEval_SaveThread();
    const int r = poll(fds, wake_fd >= 0 ? 2 : 1, timeout_ms);
    const int error = errno;

    if (r > 0 && fds[1].revents != 0) {
        char signals[64];
        const ssize_t ignored = read(wake_fd, signals, sizeof signals);

        (void)ignored; /* which they are, PyErr_CheckSignals() knows */
    }
    PyEval_RestoreThread(state);
    errno = error;
    return r;
}

/* On a runtime for tests nobody sleeps, so the GIL stays. @return as wait_for() */
static int wait_in_test(struct wpy_queue *self, double timeout)
{
    wsock_queue *queue = wpy_pointer((PyObject *)self, WPY_queue);
    int r;

    if (queue == NULL || PyErr_CheckSignals() < 0)
        return -1;
    r = wsock_queue_wait(queue, timeout < 0 ? -1 : (int64_t)(timeout * 1000 + 0.999));
    if (r >= 0)
        return r;
    wpy_raise(r, r == WSOCK_EDEADLK ? "nothing is left that could happen: this would wait for ever"
                                    : NULL);
    return -1;
}

/* @return 1 when there is something to dispatch, or it was woken; 0 when the time was up;
 * -1 with an exception, a signal handler's included. */
static int wait_for(struct wpy_queue *self, double timeout, int wake_fd)
{
    const int64_t until = timeout < 0 ? INT64_MAX : now_ms() + (int64_t)(timeout * 1000 + 0.999);
    wsock_queue *queue;

    if (self->for_tests)
        return wait_in_test(self, timeout);
    while ((queue = wpy_pointer((PyObject *)self, WPY_queue)) != NULL) {
        const int64_t left = until == INT64_MAX ? -1 : until - now_ms();
        int r = wsock_queue_arm(queue);

        if (r < 0) {
            wpy_raise(r, NULL);
            return -1;
        }
        if (r > 0)
            return 1;
        if (PyErr_CheckSignals() < 0)
            return -1;
        if (until != INT64_MAX && left <= 0)
            return 0;
        wsock_queue_ref(queue); /* another thread may close it meanwhile */
        r = poll_for(queue, wake_fd, left > INT_MAX ? INT_MAX : (int)left);
        wsock_queue_unref(queue);
        if (r < 0 && errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
    return -1;
}

/* ---- methods ---- */

/* None is for ever. @return negative for that, -2 with an exception */
static int timeout_of(double *out, PyObject *object)
{
    if (object == NULL || object == Py_None) {
        *out = -1;
        return 0;
    }
    *out = PyFloat_AsDouble(object);
    if (*out == -1 && PyErr_Occurred())
        return -1;
    if (!(*out >= 0)) {
        PyErr_SetString(PyExc_ValueError, "a timeout is 0 or more, or None");
        return -1;
    }
    if (*out > 1e12)
        *out = -1;
    return 0;
}

static PyObject *serve(PyObject *object, PyObject *arguments)
{
    struct wpy_queue *self = (struct wpy_queue *)object;
    PyObject *given = NULL;
    Py_ssize_t max = 0;
    int wake_fd = -1, lets_out = 0, r;
    double timeout;

    if (!PyArg_ParseTuple(arguments, "Onpi", &given, &max, &lets_out, &wake_fd) ||
        timeout_of(&timeout, given) < 0)
        return NULL;
    if (max < 0) {
        PyErr_SetString(PyExc_ValueError, "max_events is 0 or more");
        return NULL;
    }
    r = dispatch(self, (size_t)max, lets_out);
    if (r == 0 && timeout != 0) {
        r = wait_for(self, timeout, wake_fd);
        if (r > 0)
            r = dispatch(self, (size_t)max, lets_out);
    }
    if (r >= 0 && wake_fd >= 0 && PyErr_CheckSignals() < 0)
        return NULL;
    return r >= 0 ? PyLong_FromLong(r) : NULL;
}

static PyObject *wait(PyObject *object, PyObject *given)
{
    double timeout;
    int r;

    if (timeout_of(&timeout, given) < 0)
        return NULL;
    r = wait_for((struct wpy_queue *)object, timeout, -1);
    return r >= 0 ? PyBool_FromLong(r) : NULL;
}

static PyObject *wake(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    wsock_queue *queue = wpy_pointer(object, WPY_queue);

    if (queue == NULL)
        return NULL;
    wsock_queue_wake(queue);
    Py_RETURN_NONE;
}

/* Let go of the library's queue. */
static void drop_queue(struct wpy_queue *self)
{
    if (self->log != NULL && wpy_handle_is_live(&self->handle))
        wpy_log_leave(self->log, self->handle.pointer);
    wpy_handle_drop(&self->handle);
}

static PyObject *close_queue(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct wpy_queue *self = (struct wpy_queue *)object;

    Py_INCREF(self);
    drop_queue(self);
    if (wpy_epoch_is_now(self->handle.epoch))
        wpy_graves_empty();
    let_all_go(self);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

static PyObject *call_soon(PyObject *self, PyObject *fn)
{
    return wpy_call_soon((struct wpy_queue *)self, NULL, fn);
}

static PyObject *timer(PyObject *self, PyObject *arguments)
{
    double first, every;
    PyObject *fn;

    if (!PyArg_ParseTuple(arguments, "ddO", &first, &every, &fn))
        return NULL;
    return wpy_timer_start((struct wpy_queue *)self, NULL, first, every, fn);
}

static PyObject *kept_count(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    const struct wpy_queue *self = (struct wpy_queue *)object;
    Py_ssize_t count = 0;

    for (const struct wpy_kept *kept = self->kept.next; kept != &self->kept; kept = kept->next)
        count++;
    return PyLong_FromSsize_t(count);
}

static PyObject *is_dispatching(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((struct wpy_queue *)self)->thread == PyThread_get_thread_ident());
}

static PyGetSetDef properties[] = {
    {"is_dispatching", is_dispatching, NULL,
     "Whether the caller is inside a handler of this queue.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *get_on_error(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *handler = ((struct wpy_queue *)self)->on_error;

    return Py_NewRef(handler != NULL ? handler : Py_None);
}

static PyObject *set_on_error(PyObject *self, PyObject *handler)
{
    if (handler != Py_None && !PyCallable_Check(handler)) {
        PyErr_SetString(PyExc_TypeError, "on_error is a function, or None");
        return NULL;
    }
    Py_XSETREF(((struct wpy_queue *)self)->on_error,
               handler != Py_None ? Py_NewRef(handler) : NULL);
    Py_RETURN_NONE;
}

/* ---- life ---- */

static PyObject *new_queue(PyTypeObject *type, PyObject *Py_UNUSED(arguments),
                           PyObject *Py_UNUSED(keywords))
{
    struct wpy_queue *self = (struct wpy_queue *)type->tp_alloc(type, 0);

    if (self == NULL)
        return NULL;
    wpy_handle_init(&self->handle, NULL, WPY_queue);
    self->kept.prev = self->kept.next = &self->kept;
    return (PyObject *)self;
}

static PyObject *open_queue(PyObject *object, PyObject *arguments)
{
    struct wpy_queue *self = (struct wpy_queue *)object;
    PyObject *handle, *log;
    wsock_runtime *runtime;
    wsock_queue *queue = NULL;
    int64_t next;
    int r;

    if (!PyArg_ParseTuple(arguments, "OO", &handle, &log))
        return NULL;
    runtime = wpy_pointer(handle, WPY_runtime);
    if (runtime == NULL)
        return NULL;
    if (self->handle.pointer != NULL)
        return wpy_raise(WSOCK_EBUSY, "it is open");
    r = wsock_runtime_queue(runtime, &queue);
    if (r < 0)
        return wpy_raise_of(handle, r);
    if (wpy_log_join(log, queue) < 0) {
        wsock_queue_unref(queue);
        return NULL;
    }
    wpy_handle_init(&self->handle, queue, WPY_queue);
    self->for_tests = wsock_testing_next_ms(runtime, &next) != WSOCK_ENOTSUP;
    Py_XSETREF(self->runtime, Py_NewRef(handle));
    Py_XSETREF(self->log, Py_NewRef(log));
    Py_RETURN_NONE;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    struct wpy_queue *self = (struct wpy_queue *)object;

    Py_VISIT(self->runtime);
    Py_VISIT(self->on_error);
    Py_VISIT(self->failure);
    for (struct wpy_kept *kept = self->kept.next; kept != &self->kept; kept = kept->next)
        Py_VISIT(kept->object);
    return 0;
}

static int clear(PyObject *object)
{
    struct wpy_queue *self = (struct wpy_queue *)object;

    drop_queue(self);
    let_all_go(self);
    Py_CLEAR(self->on_error);
    Py_CLEAR(self->failure);
    Py_CLEAR(self->log);
    Py_CLEAR(self->runtime);
    return 0;
}

static void dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef methods[] = {
    {"_open", open_queue, METH_VARARGS, "(runtime handle, its log): make it."},
    {"_serve", serve, METH_VARARGS,
     "(timeout, max_events, lets_out, wake_fd): run handlers, wait for some if there are none."},
    {"_wait", wait, METH_O, "(timeout): wait for something to dispatch."},
    {"wake", wake, METH_NOARGS,
     "wake($self, /)\n--\n\nHave the dispatch or wait that is under way, or else the next one, return "
     "as soon as it can. Any thread, and signal handlers too."},
    {"_close", close_queue, METH_NOARGS, "Drop what waits, and what is kept."},
    {"_call", call_soon, METH_O, "(fn): call it where the handlers run."},
    {"_timer", timer, METH_VARARGS, "(first, every, fn) in seconds; every 0: once."},
    {"_kept", kept_count, METH_NOARGS, "How many objects it keeps alive."},
    {"_get_on_error", get_on_error, METH_NOARGS, "The function for exceptions in handlers."},
    {"_set_on_error", set_on_error, METH_O, "Set it; None is the default."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject wpy_queue_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock._wsock.Queue",
    .tp_basicsize = sizeof(struct wpy_queue),
    .tp_base = &wpy_handle_type,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = new_queue,
    .tp_dealloc = dealloc,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_methods = methods,
    .tp_getset = properties,
    .tp_doc = "Where handlers wait until they are dispatched.",
};
