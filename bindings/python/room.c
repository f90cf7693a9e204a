/* SPDX-License-Identifier: MIT */
/* What of rooms is not wrapped as it stands: broadcasts, which take what send() takes, and
 * the members, which are objects of this binding. */
#include <stdlib.h>

#include "native.h"

/* The object of a member, if Python has been told of it. @return (borrowed) or NULL */
static PyObject *object_of(const wsock_conn *conn)
{
    return wsock_conn_get_user(conn);
}

static int accepts(wsock_conn *conn, void *user)
{
    PyObject *object = object_of(conn), *result;
    int is;

    if (object == NULL || PyErr_Occurred() != NULL)
        return 0;
    Py_INCREF(object);
    result = PyObject_CallOneArg(user, object);
    Py_DECREF(object);
    is = result != NULL ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    return is > 0;
}

static int send_to(wsock_room *room, wsock_conn *except, PyObject *where,
                   const struct wpy_bytes *bytes)
{
    if (where == Py_None)
        return wsock_room_broadcast_except(room, except, bytes->type, bytes->data,
                                           bytes->len);
    return wsock_room_broadcast_if(room, accepts, where, bytes->type, bytes->data,
                                   bytes->len);
}

/* @return the count, or a code, or 1 with an exception */
static int broadcast_object(wsock_room *room, wsock_conn *except, PyObject *where,
                            PyObject *data, PyObject *text, PyObject *compress)
{
    struct wpy_bytes bytes;
    int r;

    if (Py_IS_TYPE(data, &wpy_handle_type) &&
        ((struct wpy_handle *)data)->kind == WPY_message) {
        wsock_message *message = wpy_pointer(data, WPY_message);

        return message != NULL ? wsock_room_broadcast_message(room, except, message) : 1;
    }
    if (wpy_payload_get(&bytes, data, text, compress) < 0)
        return 1;
    r = send_to(room, except, where, &bytes);
    wpy_bytes_release(&bytes);
    return r;
}

PyObject *wpy_room_broadcast(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                             Py_ssize_t count)
{
    wsock_conn *except = NULL;
    wsock_room *room;
    int r;

    if (count != 6) {
        PyErr_SetString(PyExc_TypeError, "(room, data, text, exclude, where, compress)");
        return NULL;
    }
    room = wpy_pointer(arguments[0], WPY_room);
    if (room == NULL)
        return NULL;
    if (arguments[3] != Py_None) {
        except = wpy_pointer(arguments[3], WPY_conn);
        if (except == NULL)
            return NULL;
    }
    r = broadcast_object(room, except, arguments[4], arguments[1], arguments[2], arguments[5]);
    if (PyErr_Occurred())
        return NULL;
    /* A worker is far behind: nobody got it. */
    if (r == WSOCK_EAGAIN)
        r = 0;
    return r >= 0 ? PyLong_FromLong(r) : wpy_raise(r, NULL);
}

PyObject *wpy_room_members(PyObject *Py_UNUSED(module), PyObject *handle)
{
    wsock_room *room = wpy_pointer(handle, WPY_room);
    size_t max = room != NULL ? wsock_room_count(room) + 16 : 0, count;
    PyObject *list;
    wsock_conn **conns;

    if (room == NULL)
        return NULL;
    conns = PyMem_Calloc(max, sizeof(wsock_conn *));
    list = PyList_New(0);
    if (conns == NULL || list == NULL) {
        PyMem_Free(conns);
        Py_XDECREF(list);
        return PyErr_NoMemory();
    }
    count = wsock_room_members(room, conns, max);
    for (size_t i = 0; i < count && i < max; i++) {
        PyObject *object = object_of(conns[i]);

        if (list != NULL && object != NULL && PyList_Append(list, object) < 0)
            Py_CLEAR(list);
        wsock_conn_unref(conns[i]);
    }
    PyMem_Free(conns);
    return list;
}
