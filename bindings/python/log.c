/* SPDX-License-Identifier: MIT */
/* The library's log, for Python's logging: lines wait in bindings/log.c, and are told
 * with the GIL held, where a queue of the runtime is dispatched. */
#include "../log.h"
#include "native.h"

static const char capsule_name[] = "wsock._wsock.log";

/* Of a process that forked this one, its lock may be held for ever: then NULL. */
static struct wbind_log *pointer_of(PyObject *log)
{
    struct wbind_log *pointer = PyCapsule_GetPointer(log, capsule_name);

    if (pointer == NULL ||
        !wpy_epoch_is_now((unsigned)(uintptr_t)PyCapsule_GetContext(log)))
        return NULL;
    return pointer;
}

static void destroy(PyObject *log)
{
    struct wbind_log *pointer = pointer_of(log);

    if (pointer != NULL)
        wbind_log_close(pointer);
}

PyObject *wpy_log_open(PyObject *Py_UNUSED(module), PyObject *handle)
{
    wsock_runtime *runtime = wpy_pointer(handle, WPY_runtime);
    struct wbind_log *pointer = NULL;
    PyObject *log;
    int r;

    if (runtime == NULL)
        return NULL;
    r = wbind_log_open(&pointer, runtime);
    if (r < 0)
        return wpy_raise(r, NULL);
    log = PyCapsule_New(pointer, capsule_name, destroy);
    if (log == NULL)
        wbind_log_close(pointer);
    else
        PyCapsule_SetContext(log,
                             (void *)(uintptr_t)((struct wpy_handle *)handle)->epoch);
    return log;
}

int wpy_log_join(PyObject *log, wsock_queue *queue)
{
    struct wbind_log *pointer = pointer_of(log);
    const int r = pointer != NULL ? wbind_log_join(pointer, queue) : 0;

    if (r < 0)
        wpy_raise(r, NULL);
    return PyErr_Occurred() != NULL ? -1 : 0;
}

void wpy_log_leave(PyObject *log, wsock_queue *queue)
{
    struct wbind_log *pointer = pointer_of(log);

    if (pointer != NULL)
        wbind_log_leave(pointer, queue);
}

static bool tell_line(const struct wbind_line *line)
{
    PyObject *result = PyObject_CallFunction(wpy_classes.log_line, "iNN", line->level,
                                             wpy_text(line->subject),
                                             wpy_text(line->text));

    Py_XDECREF(result);
    return result != NULL;
}

int wpy_log_tell(PyObject *log)
{
    struct wbind_log *pointer = pointer_of(log);
    struct wbind_line *line = pointer != NULL ? wbind_log_take(pointer) : NULL;
    bool told = !PyErr_Occurred();

    while (line != NULL) {
        told = told && tell_line(line);
        line = wbind_line_free(line);
    }
    return told ? 0 : -1;
}

PyObject *wpy_log_tell_all(PyObject *Py_UNUSED(module), PyObject *log)
{
    return wpy_log_tell(log) == 0 ? Py_NewRef(Py_None) : NULL;
}
