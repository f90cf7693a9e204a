/* SPDX-License-Identifier: MIT */
/* Payloads and texts, from Python and to it. */
#include <string.h>

#include "native.h"

PyObject *wpy_text(const char *text)
{
    if (text == NULL)
        return Py_NewRef(Py_None);
    /* Headers may hold other bytes: they come back as they were with surrogateescape. */
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogateescape");
}

PyObject *wpy_text_unless_empty(const char *text)
{
    return wpy_text(*text != '\0' ? text : NULL);
}

PyObject *wpy_pair(const char *name, const char *value)
{
    return Py_BuildValue("(NN)", wpy_text(name), wpy_text(value));
}

int wpy_bytes_get(struct wpy_bytes *bytes, PyObject *object)
{
    Py_ssize_t len;

    bytes->held = false;
    if (PyUnicode_Check(object)) {
        bytes->data = PyUnicode_AsUTF8AndSize(object, &len);
        bytes->len = (size_t)len;
        bytes->type = WSOCK_TEXT;
        return bytes->data != NULL ? 0 : -1;
    }
    bytes->type = WSOCK_BINARY;
    if (PyBytes_Check(object)) {
        bytes->data = PyBytes_AS_STRING(object);
        bytes->len = (size_t)PyBytes_GET_SIZE(object);
        return 0;
    }
    if (PyObject_GetBuffer(object, &bytes->view, PyBUF_SIMPLE) < 0) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "expected str or a bytes-like object, not %.100s",
                         Py_TYPE(object)->tp_name);
        return -1;
    }
    bytes->held = true;
    bytes->data = bytes->view.buf;
    bytes->len = (size_t)bytes->view.len;
    return 0;
}

void wpy_bytes_release(struct wpy_bytes *bytes)
{
    if (bytes->held)
        PyBuffer_Release(&bytes->view);
    bytes->held = false;
}

int wpy_string(const char **out, PyObject *object)
{
    Py_ssize_t len;

    *out = NULL;
    if (object == Py_None)
        return 0;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "expected str, not %.100s", Py_TYPE(object)->tp_name);
        return -1;
    }
    *out = PyUnicode_AsUTF8AndSize(object, &len);
    if (*out == NULL)
        return -1;
    if (strlen(*out) != (size_t)len) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
        return -1;
    }
    return 0;
}

/* @return a truth, or what stands for none, or -1 with an exception */
static int truth_of(PyObject *object, int none)
{
    return object == NULL || object == Py_None ? none : PyObject_IsTrue(object);
}

int wpy_payload_get(struct wpy_bytes *bytes, PyObject *object, PyObject *text,
                    PyObject *compress)
{
    int is_text, may_compress;

    if (wpy_bytes_get(bytes, object) < 0)
        return -1;
    is_text = truth_of(text, bytes->type == WSOCK_TEXT);
    may_compress = is_text >= 0 ? truth_of(compress, 1) : -1;
    if (may_compress < 0) {
        wpy_bytes_release(bytes);
        return -1;
    }
    bytes->type = (is_text ? WSOCK_TEXT : WSOCK_BINARY) |
                  (may_compress ? 0 : WSOCK_UNCOMPRESSED);
    return 0;
}

PyObject *wpy_payload(int type, const void *data, size_t len)
{
    /* The library has checked that text is UTF-8. */
    return type == WSOCK_TEXT ? PyUnicode_DecodeUTF8(data, (Py_ssize_t)len, NULL)
                              : PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
}
