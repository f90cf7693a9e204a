/* SPDX-License-Identifier: MIT */
/* Who is there: members, people and identities, as objects of this binding. */
#include <stdlib.h>

#include "native.h"

/* Takes the references that the library gave. @return a list of those that Python was told
 * of, or NULL with an exception */
static PyObject *list_of(wsock_conn **conns, size_t count)
{
    PyObject *list = PyList_New(0);

    for (size_t i = 0; i < count; i++) {
        PyObject *object = (PyObject *)wpy_conn_object(conns[i]);

        if (list != NULL && object != NULL && PyList_Append(list, object) < 0)
            Py_CLEAR(list);
        wsock_conn_unref(conns[i]);
    }
    PyMem_Free(conns);
    return list;
}

static PyObject *members(PyObject *Py_UNUSED(module), PyObject *handle)
{
    wsock_room *room = wpy_pointer(handle, WPY_room);
    const size_t max = room != NULL ? wsock_room_count(room) + 16 : 0;
    wsock_conn **conns = room != NULL ? PyMem_Calloc(max, sizeof(wsock_conn *)) : NULL;
    size_t count;

    if (room == NULL)
        return NULL;
    if (conns == NULL)
        return PyErr_NoMemory();
    count = wsock_room_members(room, conns, max);
    return list_of(conns, count < max ? count : max);
}

/* Takes the references that the library gave. */
static PyObject *list_of_rooms(wsock_room **rooms, size_t count)
{
    PyObject *list = PyList_New(0), *entry;

    for (size_t i = 0; i < count; i++) {
        entry = wpy_handle(rooms[i], WPY_room);
        if (list != NULL && (entry == NULL || PyList_Append(list, entry) < 0))
            Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

/* rooms(server, pattern or None): handles of those that there are. */
static PyObject *rooms(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *handle, *list;
    wsock_server *server;
    wsock_room **found;
    const char *pattern;
    int64_t count, max;

    if (!PyArg_ParseTuple(arguments, "Oz", &handle, &pattern))
        return NULL;
    server = wpy_pointer(handle, WPY_server);
    if (server == NULL)
        return NULL;
    max = wsock_server_rooms(server, NULL, 0, pattern);
    if (max < 0)
        return wpy_raise((int)max, "not a valid pattern");
    max += 16; /* some may come meanwhile */
    found = PyMem_Calloc((size_t)max, sizeof(wsock_room *));
    if (found == NULL)
        return PyErr_NoMemory();
    count = wsock_server_rooms(server, found, (size_t)max, pattern);
    list = list_of_rooms(found, (size_t)(count < max ? count : max));
    PyMem_Free(found);
    return list;
}

/* (server, identity) */
static PyObject *identity_conns(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    wsock_conn **conns;
    const char *identity;
    wsock_server *server;
    PyObject *handle;
    size_t count, max;

    if (!PyArg_ParseTuple(arguments, "Os", &handle, &identity))
        return NULL;
    server = wpy_pointer(handle, WPY_server);
    if (server == NULL)
        return NULL;
    max = wsock_server_identity_conns(server, NULL, 0, identity) + 16;
    conns = PyMem_Calloc(max, sizeof(wsock_conn *));
    if (conns == NULL)
        return PyErr_NoMemory();
    count = wsock_server_identity_conns(server, conns, max, identity);
    return list_of(conns, count < max ? count : max);
}

PyObject *wpy_person(const wsock_person *person)
{
    return Py_BuildValue("(Ny#n)", wpy_text(person->identity), person->info,
                         (Py_ssize_t)person->info_len, (Py_ssize_t)person->conns);
}

static int append(const wsock_person *person, void *list)
{
    PyObject *entry = wpy_person(person);
    const int r = entry != NULL ? PyList_Append(list, entry) : -1;

    Py_XDECREF(entry);
    return r;
}

static PyObject *people(PyObject *Py_UNUSED(module), PyObject *handle)
{
    wsock_room *room = wpy_pointer(handle, WPY_room);
    PyObject *list = room != NULL ? PyList_New(0) : NULL;
    int r;

    if (list == NULL)
        return NULL;
    r = wsock_room_people(room, append, list);
    if (r < 0 && PyErr_Occurred() == NULL)
        wpy_raise(r, NULL);
    if (PyErr_Occurred() != NULL)
        Py_CLEAR(list);
    return list;
}

static bool room_and_conn(PyObject *arguments, wsock_room **room, wsock_conn **conn)
{
    PyObject *first, *second;

    if (!PyArg_ParseTuple(arguments, "OO", &first, &second))
        return false;
    *room = wpy_pointer(first, WPY_room);
    *conn = *room != NULL && second != Py_None ? wpy_pointer(second, WPY_conn) : NULL;
    return PyErr_Occurred() == NULL;
}

/* info(room, conn): bytes, or None when it joined with nothing. */
static PyObject *info(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    wsock_room *room;
    wsock_conn *conn;
    PyObject *result;
    int64_t limit;
    int r;

    if (!room_and_conn(arguments, &room, &conn))
        return NULL;
    r = wsock_room_get_int64(room, "max_info_bytes", &limit);
    if (r < 0)
        return wpy_raise(r, NULL);
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)limit);
    if (result == NULL)
        return NULL;
    r = conn != NULL ? wsock_room_info(room, conn, PyBytes_AS_STRING(result), (size_t)limit)
                     : WSOCK_EINVAL;
    if (r <= 0) {
        Py_DECREF(result);
        if (r < 0)
            return wpy_raise(r, NULL);
        Py_RETURN_NONE;
    }
    _PyBytes_Resize(&result, r);
    return result;
}

/* dropped(room, conn or None) */
static PyObject *dropped(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    wsock_room *room;
    wsock_conn *conn;
    int64_t count;

    if (!room_and_conn(arguments, &room, &conn))
        return NULL;
    count = wsock_room_dropped(room, conn);
    return count < 0 ? wpy_raise((int)count, NULL) : PyLong_FromLongLong(count);
}

/* send_to(server or room, identity, data, text, compress): to how many it was queued. */
static PyObject *send_to(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *object, *data, *text, *compress;
    struct wpy_bytes bytes;
    const char *identity;
    bool is_server;
    void *pointer;
    int r;

    if (!PyArg_ParseTuple(arguments, "O!sOOO", &wpy_handle_type, &object, &identity, &data,
                          &text, &compress))
        return NULL;
    is_server = ((struct wpy_handle *)object)->kind == WPY_server;
    pointer = wpy_pointer(object, is_server ? WPY_server : WPY_room);
    if (pointer == NULL || wpy_payload_get(&bytes, data, text, compress) < 0)
        return NULL;
    if (is_server)
        r = wsock_server_send_to(pointer, identity, bytes.type, bytes.data, bytes.len);
    else
        r = wsock_room_send_to(pointer, identity, bytes.type, bytes.data, bytes.len);
    wpy_bytes_release(&bytes);
    if (r < 0 && r != WSOCK_EAGAIN)
        return wpy_raise(r, NULL);
    return PyLong_FromLong(r < 0 ? 0 : r);
}

/* same(handle, handle): whether they refer to one object. */
static PyObject *same(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct wpy_handle *first, *second;

    if (!PyArg_ParseTuple(arguments, "O!O!", &wpy_handle_type, &first, &wpy_handle_type,
                          &second))
        return NULL;
    return PyBool_FromLong(first->pointer == second->pointer);
}

PyMethodDef wpy_people_functions[] = {
    {"rooms", rooms, METH_VARARGS, "(server, pattern or None): handles of its rooms."},
    {"members", members, METH_O, "(room): the connections in it."},
    {"people", people, METH_O, "(room): a list of (identity, info, connections)"},
    {"identity_conns", identity_conns, METH_VARARGS, "(server, identity): its connections."},
    {"info", info, METH_VARARGS, "(room, conn): what it joined with, or None."},
    {"dropped", dropped, METH_VARARGS, "(room, conn or None): messages that it missed."},
    {"send_to", send_to, METH_VARARGS,
     "(server or room, identity, data, text, compress): to how many it was queued."},
    {"same", same, METH_VARARGS, "(handle, handle): whether they are of one object."},
    {NULL, NULL, 0, NULL},
};
