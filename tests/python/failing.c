/* SPDX-License-Identifier: MIT */
/* The module `failing`: calls a function while memory fails where it says: Python's own,
 * or the library's on this thread. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <wsock/memory.h>

static struct {
    long before, count; /* how many pass, and fail behind them */
    bool of_library, failed;
} plan;
static pthread_t script_thread;
static atomic_long blocks;
static PyMemAllocatorEx python[3]; /* by domain */

static bool fails(bool of_library)
{
    if (plan.count == 0 || plan.of_library != of_library ||
        !pthread_equal(pthread_self(), script_thread))
        return false;
    if (plan.before > 0) {
        plan.before--;
        return false;
    }
    plan.count--;
    plan.failed = true;
    return true;
}

/* ---- Python's ---- */

static void *python_malloc(void *inner, size_t size)
{
    PyMemAllocatorEx *allocator = inner;

    return fails(false) ? NULL : allocator->malloc(allocator->ctx, size);
}

static void *python_calloc(void *inner, size_t count, size_t size)
{
    PyMemAllocatorEx *allocator = inner;

    return fails(false) ? NULL : allocator->calloc(allocator->ctx, count, size);
}

static void *python_realloc(void *inner, void *block, size_t size)
{
    PyMemAllocatorEx *allocator = inner;

    return fails(false) ? NULL : allocator->realloc(allocator->ctx, block, size);
}

static void python_free(void *inner, void *block)
{
    PyMemAllocatorEx *allocator = inner;

    allocator->free(allocator->ctx, block);
}

/* ---- the library's ---- */

static void *library_malloc(size_t size)
{
    void *block = fails(true) ? NULL : malloc(size);

    if (block != NULL)
        atomic_fetch_add(&blocks, 1);
    return block;
}

static void *library_realloc(void *block, size_t size)
{
    void *grown = fails(true) ? NULL : realloc(block, size);

    if (block == NULL && grown != NULL)
        atomic_fetch_add(&blocks, 1);
    return grown;
}

static void library_free(void *block)
{
    if (block != NULL)
        atomic_fetch_sub(&blocks, 1);
    free(block);
}

/* ---- functions ---- */

/* What was raised, as a value; NULL for nothing. */
static PyObject *take_raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

static PyObject *or_none(PyObject *object)
{
    if (object != NULL)
        return object;
    Py_INCREF(Py_None);
    return Py_None;
}

/* call(fn, before, count, of_library): whether an allocation failed, what fn() returned
 * or None, what it raised or None. */
static PyObject *call(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *fn, *result, *raised;
    long before, count;
    int of_library;

    if (!PyArg_ParseTuple(arguments, "Ollp", &fn, &before, &count, &of_library))
        return NULL;
    plan.before = before;
    plan.of_library = of_library;
    plan.failed = false;
    plan.count = count;
    result = PyObject_CallObject(fn, NULL);
    plan.count = 0;
    raised = result == NULL ? take_raised() : NULL;
    return Py_BuildValue("(iNN)", plan.failed, or_none(result), or_none(raised));
}

static PyObject *count_blocks(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(atomic_load(&blocks));
}

static PyMethodDef functions[] = {
    {"call", call, METH_VARARGS, NULL},
    {"blocks", count_blocks, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "failing",
                                    .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit_failing(void);

PyMODINIT_FUNC PyInit_failing(void)
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM,
                                                   PYMEM_DOMAIN_OBJ};

    if (wsock_set_allocator(library_malloc, library_realloc, library_free) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "the library keeps its heap");
        return NULL;
    }
    script_thread = pthread_self();
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++) {
        PyMemAllocatorEx failing = {&python[i], python_malloc, python_calloc,
                                    python_realloc, python_free};

        PyMem_GetAllocator(domains[i], &python[i]);
        PyMem_SetAllocator(domains[i], &failing);
    }
    return PyModule_Create(&module);
}
