/* SPDX-License-Identifier: MIT */
/* The module around the wrapped functions: its types, what it must know of the package, the
 * end of runtimes, the table of options, forks. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "native.h"

struct wpy_classes wpy_classes;

/* ---- runtimes that nobody holds ---- */

/* To end a runtime is to wait for its threads, which no deallocation should: a thread of
 * its own does, without the GIL, and is itself waited for when it is through, or by
 * reap(). */
struct doomed {
    struct doomed *next;
    wsock_runtime *runtime;
    pthread_t thread;
    atomic_bool is_through;
};
static struct doomed *doomed; /* with the GIL */

static void *end_runtime(void *user)
{
    struct doomed *entry = user;

    wsock_runtime_free(entry->runtime);
    atomic_store(&entry->is_through, true);
    return NULL;
}

/* Signals are for threads of the script's. */
static int start_ending(struct doomed *entry)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&entry->thread, NULL, end_runtime, entry);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* Take those that are through out of the list; or all. */
static struct doomed *take_doomed(bool all)
{
    struct doomed **at = &doomed, *taken = NULL;

    while (*at != NULL) {
        struct doomed *entry = *at;

        if (!all && !atomic_load(&entry->is_through)) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        entry->next = taken;
        taken = entry;
    }
    return taken;
}

static void await_doomed(struct doomed *list)
{
    while (list != NULL) {
        struct doomed *entry = list;

        list = entry->next;
        pthread_join(entry->thread, NULL);
        free(entry);
    }
}

void wpy_runtime_doom(void *runtime)
{
    struct doomed *entry = calloc(1, sizeof *entry);

    await_doomed(take_doomed(false));
    wsock_runtime_stop(runtime);
    if (entry == NULL)
        return; /* its threads idle until the process ends */
    entry->runtime = runtime;
    if (start_ending(entry) != 0) {
        free(entry);
        return;
    }
    entry->next = doomed;
    doomed = entry;
}

static int free_runtime(wsock_runtime *runtime)
{
    int r;

    Py_BEGIN_ALLOW_THREADS
    r = wsock_runtime_free(runtime);
    Py_END_ALLOW_THREADS
    wpy_graves_empty();
    return r;
}

/* reap(): wait for the end of those that were dropped. */
static PyObject *reap(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct doomed *list = take_doomed(true);

    Py_BEGIN_ALLOW_THREADS
    await_doomed(list);
    Py_END_ALLOW_THREADS
    wpy_graves_empty();
    Py_RETURN_NONE;
}

/* runtime_close(handle): stop all, and wait without the GIL. */
static PyObject *runtime_close(PyObject *Py_UNUSED(module), PyObject *object)
{
    struct wpy_handle *handle = (struct wpy_handle *)object;
    wsock_runtime *runtime = wpy_pointer(object, WPY_runtime);
    int r;

    if (runtime == NULL)
        return NULL;
    handle->pointer = NULL; /* no other thread begins anything with it */
    r = free_runtime(runtime);
    if (r < 0) {
        handle->pointer = runtime;
        return wpy_raise(r, NULL);
    }
    Py_RETURN_NONE;
}

/* ---- the rest ---- */

static PyObject *set_classes(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct wpy_classes given;

    if (!PyArg_ParseTuple(arguments, "OOOOOOOO", &given.error, &given.connection,
                          &given.request, &given.ask, &given.close_info, &given.state_info,
                          &given.on_error, &given.log_line))
        return NULL;
    if (!PyType_Check(given.connection) || !PyType_Check(given.request) ||
        !PyType_Check(given.ask) ||
        !PyType_IsSubtype((PyTypeObject *)given.ask, &wpy_ask_type) ||
        !PyType_IsSubtype((PyTypeObject *)given.connection, &wpy_conn_type) ||
        !PyType_IsSubtype((PyTypeObject *)given.request, &wpy_request_type)) {
        PyErr_SetString(PyExc_TypeError, "not classes over Conn, Request and Ask");
        return NULL;
    }
    Py_INCREF(given.error);
    Py_INCREF(given.connection);
    Py_INCREF(given.request);
    Py_INCREF(given.ask);
    Py_INCREF(given.close_info);
    Py_INCREF(given.state_info);
    Py_INCREF(given.on_error);
    Py_INCREF(given.log_line);
    wpy_classes = given; /* as long as the process: the module is never unloaded */
    Py_RETURN_NONE;
}

static PyObject *options(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);

    for (size_t i = 0; list != NULL; i++) {
        wsock_option_info info = {.size = sizeof info};
        PyObject *entry;

        if (wsock_option_at(&info, i) < 0)
            break;
        entry = Py_BuildValue("(siiszLi)", info.name, (int)info.scope, (int)info.type,
                              info.text, info.words, (long long)info.value_default,
                              (int)info.is_live);
        if (entry == NULL || PyList_Append(list, entry) < 0)
            Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

static PyObject *after_fork(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    doomed = NULL;
    wpy_forked();
    Py_RETURN_NONE;
}

static int check_interpreter(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return 0;
    PyErr_SetString(PyExc_ImportError,
                    "wsock works in the main interpreter only, not in sub-interpreters");
    return -1;
}

/* Again at each import of the package: Python does not call the module's initialisation for
 * a second interpreter. */
static PyObject *check(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (check_interpreter() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"check_interpreter", check, METH_NOARGS, "Raise ImportError in a sub-interpreter."},
    {"reap", reap, METH_NOARGS, "Wait for the end of runtimes that were dropped."},
    {"runtime_close", runtime_close, METH_O, "(runtime): end it, and wait for that."},
    {"set_classes", set_classes, METH_VARARGS,
     "(Error, Connection, Request, Ask, CloseInfo, StateInfo, on_error, log_line)"},
    {"options", options, METH_NOARGS,
     "The table of options: (name, scope, type, text, words, default, is_live)."},
    {"after_fork", after_fork, METH_NOARGS, "In the child: all handles are the parent's."},
    {"log_open", wpy_log_open, METH_O, "(runtime): where its log waits."},
    {"log_tell", wpy_log_tell_all, METH_O, "(log): hand what waits to logging."},
    {"capsule", wpy_capsule, METH_O, "(handle): a reference for C."},
    {NULL, NULL, 0, NULL},
};

int wpy_init(PyObject *module)
{
    static const struct {
        const char *name;
        PyTypeObject *type;
    } types[] = {
        {"Handle", &wpy_handle_type}, {"Queue", &wpy_queue_type}, {"Conn", &wpy_conn_type},
        {"Request", &wpy_request_type}, {"Ask", &wpy_ask_type}, {"Timer", &wpy_timer_type}, {"Hooks", &wpy_hooks_type},
        {"Buffer", &wpy_buffer_type}, {"Once", &wpy_once_type},
    };

    if (check_interpreter() < 0)
        return -1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (PyType_Ready(types[i].type) < 0 ||
            PyModule_AddObject(module, types[i].name,
                               Py_NewRef((PyObject *)types[i].type)) < 0)
            return -1;
    }
    if (PyModule_AddFunctions(module, wpy_room_functions) < 0 ||
        PyModule_AddFunctions(module, wpy_people_functions) < 0 ||
        PyModule_AddFunctions(module, wpy_jwt_functions) < 0 ||
        PyModule_AddFunctions(module, wpy_cluster_functions) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
