/* SPDX-License-Identifier: MIT */
/* A message that is handed over as it lies in memory: a large one is taken from the
 * library, a small one copied. What looks into it through the buffer protocol keeps it. */
#include <stddef.h>
#include <string.h>

#include "native.h"

struct wpy_buffer {
    PyObject_HEAD
    void *data; /* (owned) */
    wsock_free_fn free_data;
    Py_ssize_t len;
    char is_text;
};

PyObject *wpy_buffer(wsock_queue *queue, int type, const void *data, size_t len)
{
    struct wpy_buffer *self = PyObject_New(struct wpy_buffer, &wpy_buffer_type);

    if (self == NULL)
        return NULL;
    self->len = (Py_ssize_t)len;
    self->is_text = type == WSOCK_TEXT;
    if (wsock_queue_take_data(queue, &self->data, &self->free_data) < 0) {
        self->free_data = PyMem_Free;
        self->data = PyMem_Malloc(len);
        if (self->data == NULL) {
            Py_DECREF(self);
            return PyErr_NoMemory();
        }
        if (len > 0)
            memcpy(self->data, data, len);
    }
    return (PyObject *)self;
}

static void dealloc(PyObject *object)
{
    struct wpy_buffer *self = (struct wpy_buffer *)object;

    self->free_data(self->data);
    Py_TYPE(object)->tp_free(object);
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags)
{
    const struct wpy_buffer *self = (struct wpy_buffer *)object;

    return PyBuffer_FillInfo(view, object, self->data, self->len, 1, flags);
}

static Py_ssize_t length(PyObject *self)
{
    return ((struct wpy_buffer *)self)->len;
}

static PyObject *repr(PyObject *object)
{
    const struct wpy_buffer *self = (struct wpy_buffer *)object;

    return PyUnicode_FromFormat("<wsock.Buffer of %zd bytes, %s>", self->len,
                                self->is_text ? "text" : "binary");
}

static PyBufferProcs as_buffer = {.bf_getbuffer = get_buffer};
static PySequenceMethods as_sequence = {.sq_length = length};

static PyMemberDef members[] = {
    {"is_text", T_BOOL, offsetof(struct wpy_buffer, is_text), READONLY,
     "Whether it came as text; then it is UTF-8."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject wpy_buffer_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "wsock.Buffer",
    .tp_basicsize = sizeof(struct wpy_buffer),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = dealloc,
    .tp_repr = repr,
    .tp_as_buffer = &as_buffer,
    .tp_as_sequence = &as_sequence,
    .tp_members = members,
    .tp_doc = "A message where payload=\"buffer\": bytes(it), str(it, \"utf-8\"), memoryview(it) "
              "and all that takes bytes-like objects work. A large one was not copied. It is "
              "read-only, and lives as long as anything looks into it.",
};
