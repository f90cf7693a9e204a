/* SPDX-License-Identifier: MIT */
/* What C in the same process gets of an object: a capsule with a reference of its own. */
#include <stdint.h>

#include "native.h"

/* The child of a fork leaves alone what is its parent's. */
#define KIND(kind)                                                                       \
    static void *ref_##kind(void *pointer)                                               \
    {                                                                                    \
        return wsock_##kind##_ref(pointer);                                              \
    }                                                                                    \
    static void unref_##kind(PyObject *capsule)                                          \
    {                                                                                    \
        if (wpy_epoch_is_now((unsigned)(uintptr_t)PyCapsule_GetContext(capsule)))        \
            wsock_##kind##_unref(PyCapsule_GetPointer(capsule, "wsock." #kind));         \
    }
KIND(runtime)
KIND(server)
KIND(endpoint)
KIND(conn)
KIND(room)
KIND(queue)
#undef KIND

static const struct {
    const char *name;
    void *(*ref)(void *pointer);
    PyCapsule_Destructor unref;
} kinds[WPY_KINDS] = {
#define KIND(kind) [WPY_##kind] = {"wsock." #kind, ref_##kind, unref_##kind}
    KIND(runtime), KIND(server), KIND(endpoint), KIND(conn), KIND(room), KIND(queue),
#undef KIND
};

PyObject *wpy_capsule(PyObject *Py_UNUSED(module), PyObject *object)
{
    const struct wpy_handle *handle = (struct wpy_handle *)object;
    PyObject *capsule;
    void *pointer;

    if (WPY_IS_BUNDLED)
        return wpy_raise(WSOCK_ENOTSUP, "this module has a library of its own inside");
    if (!PyObject_TypeCheck(object, &wpy_handle_type) || kinds[handle->kind].name == NULL) {
        PyErr_Format(PyExc_TypeError, "there is no capsule of %.100s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    pointer = wpy_pointer(object, handle->kind);
    if (pointer == NULL)
        return NULL;
    capsule = PyCapsule_New(pointer, kinds[handle->kind].name, NULL);
    if (capsule == NULL)
        return NULL;
    kinds[handle->kind].ref(pointer);
    PyCapsule_SetContext(capsule, (void *)(uintptr_t)handle->epoch);
    PyCapsule_SetDestructor(capsule, kinds[handle->kind].unref);
    return capsule;
}
