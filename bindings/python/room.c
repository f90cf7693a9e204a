/* SPDX-License-Identifier: MIT */
/* What of rooms is not wrapped as it stands: making one with options, joining,
 * publishing, which takes what send() takes, and what a room has kept. The class over it
 * is Python. */
#include <stdlib.h>

#include "native.h"

static wsock_position position_of(unsigned long long epoch, unsigned long long offset)
{
    return (wsock_position){
        .size = sizeof(wsock_position), .epoch = epoch, .offset = offset};
}

/* ---- making ---- */

/* make_room(server, name, [option, value, ...]) */
static PyObject *make_room(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *object, *list;
    wsock_room *room = NULL;
    wsock_server *server;
    const char **options, *name;
    Py_ssize_t count;
    int r;

    if (!PyArg_ParseTuple(arguments, "OsO!", &object, &name, &PyList_Type, &list))
        return NULL;
    server = wpy_pointer(object, WPY_server);
    if (server == NULL)
        return NULL;
    count = PyList_GET_SIZE(list);
    options = PyMem_Calloc((size_t)count + 1, sizeof *options);
    if (options == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (wpy_string(&options[i], PyList_GET_ITEM(list, i)) < 0) {
            PyMem_Free(options);
            return NULL;
        }
    }
    r = wsock_server_make_room(server, &room, name, options);
    PyMem_Free(options);
    return r < 0 ? wpy_raise_of(object, r) : wpy_handle(room, WPY_room);
}

/* ---- joining ---- */

/* join(room, conn, info or None, (epoch, offset) or None: as who is new, queue, on_joined or
 * None). @return (recovered or None, count, epoch, offset) */
static PyObject *join(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    wsock_joined joined = {.size = sizeof joined};
    wsock_join how = {.size = sizeof how};
    PyObject *objects[2], *since, *queue, *on_joined;
    struct wpy_once *once = NULL;
    wsock_position position;
    Py_ssize_t len = 0;
    wsock_room *room;
    wsock_conn *conn;
    int r;

    if (!PyArg_ParseTuple(arguments, "OOz#OOO", &objects[0], &objects[1], &how.info, &len,
                          &since, &queue, &on_joined))
        return NULL;
    room = wpy_pointer(objects[0], WPY_room);
    conn = room != NULL ? wpy_pointer(objects[1], WPY_conn) : NULL;
    if (conn == NULL)
        return NULL;
    how.info_len = (size_t)len;
    if (since != Py_None) {
        unsigned long long epoch, offset;

        if (!PyArg_ParseTuple(since, "KK", &epoch, &offset))
            return NULL;
        position = position_of(epoch, offset);
        how.since = &position;
    }
    if (PyObject_TypeCheck(objects[1], &wpy_conn_type))
        ((struct wpy_conn *)objects[1])->joined = true;
    if (on_joined != Py_None) {
        once = wpy_once_new(queue, on_joined);
        if (once == NULL)
            return NULL;
        how.on_joined = wpy_once_joined;
        how.joined_user = once;
    }
    r = wsock_room_join_with(room, conn, &how, &joined);
    if (r < 0) {
        wpy_once_drop(once);
        return wpy_raise(r, NULL);
    }
    return wpy_joined(&joined);
}

/* ---- publishing ---- */

static int accepts(wsock_conn *conn, void *user)
{
    PyObject *object = (PyObject *)wpy_conn_object(conn), *result;
    int is;

    /* Python knows nothing of one of C's. */
    if (object == NULL || PyErr_Occurred() != NULL)
        return 0;
    Py_INCREF(object);
    result = PyObject_CallOneArg(user, object);
    Py_DECREF(object);
    is = result != NULL ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    return is > 0;
}

/* Who does not get it: a collection, as the array that the library takes. */
struct excluded {
    PyObject *tuple;
    wsock_conn **conns;
};

static void release_excluded(struct excluded *excluded)
{
    PyMem_Free(excluded->conns);
    Py_XDECREF(excluded->tuple);
}

static int exclude_all(wsock_publish *what, struct excluded *excluded,
                       PyObject *collection)
{
    excluded->tuple = PySequence_Tuple(collection);
    if (excluded->tuple == NULL)
        return -1;
    what->excluded_count = (size_t)PyTuple_GET_SIZE(excluded->tuple);
    excluded->conns = PyMem_Calloc(what->excluded_count + 1, sizeof(wsock_conn *));
    if (excluded->conns == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < what->excluded_count; i++) {
        excluded->conns[i] = wpy_pointer(PyTuple_GET_ITEM(excluded->tuple, (Py_ssize_t)i),
                                         WPY_conn);
        if (excluded->conns[i] == NULL)
            return -1;
    }
    what->excluded = excluded->conns;
    return 0;
}

/* A connection, an identity, or a collection of connections. */
static int exclude(wsock_publish *what, struct excluded *excluded, PyObject *object)
{
    if (object == Py_None)
        return 0;
    if (PyUnicode_Check(object))
        return wpy_string(&what->except_identity, object);
    if (!PyObject_TypeCheck(object, &wpy_handle_type))
        return exclude_all(what, excluded, object);
    what->except = wpy_pointer(object, WPY_conn);
    return what->except != NULL ? 0 : -1;
}

/* One that was built before goes to all, or to all but one. @return a count or a code, or
 * 1 with an exception */
static int publish_message(wsock_room *room, const wsock_publish *what,
                           PyObject *const *arguments)
{
    wsock_message *message = wpy_pointer(arguments[1], WPY_message);

    if (message == NULL)
        return 1;
    if (what->excluded != NULL || what->except_identity != NULL || what->only != NULL ||
        what->key != NULL || what->event != NULL || what->from != NULL ||
        what->type != 0 || arguments[11] != Py_None) {
        PyErr_SetString(PyExc_TypeError,
                        "a Message that was built before goes to all members, "
                        "or to all but one connection");
        return 1;
    }
    return wsock_room_broadcast_message(room, what->except, message);
}

/* The same of what is encoded now; on_done is told what became of it. */
static int publish_bytes(wsock_room *room, wsock_publish *what,
                         PyObject *const *arguments, wsock_position *position)
{
    struct wpy_once *once = NULL;
    struct wpy_bytes bytes;
    int r;

    if (wpy_payload_get(&bytes, arguments[1], arguments[2], arguments[3]) < 0)
        return 1;
    what->type |= bytes.type;
    what->data = bytes.data;
    what->len = bytes.len;
    if (arguments[11] != Py_None) {
        once = wpy_once_new(arguments[10], arguments[11]);
        what->on_done = wpy_once_published;
        what->done_user = once;
    }
    Py_XINCREF((PyObject *)once); /* `only` may close the queue */
    r = arguments[11] == Py_None || once != NULL ? wsock_room_publish(room, what, position)
                                                 : 1;
    wpy_bytes_release(&bytes);
    if (r < 0)
        wpy_once_drop(once);
    Py_XDECREF((PyObject *)once);
    return r;
}

static bool is_message(PyObject *object)
{
    return Py_IS_TYPE(object, &wpy_handle_type) &&
           ((struct wpy_handle *)object)->kind == WPY_message;
}

/* Its key, event and sender, and whether it is JSON. */
static int describe(wsock_publish *what, PyObject *const *arguments)
{
    const int is_json = PyObject_IsTrue(arguments[9]);

    what->type = is_json > 0 ? WSOCK_JSON : 0;
    return is_json < 0 || wpy_string(&what->key, arguments[6]) < 0 ||
                   wpy_string(&what->event, arguments[7]) < 0
               ? -1
               : wpy_string(&what->from, arguments[8]);
}

/* publish(room, data, text, compress, exclude, only, key, event, sender, json, queue,
 *         on_done or None)
 * @return (for how many, epoch, offset) */
static PyObject *publish(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                         Py_ssize_t count)
{
    wsock_position position = {.size = sizeof position};
    wsock_publish what = {.size = sizeof what};
    struct excluded excluded = {0};
    wsock_room *room = count == 12 ? wpy_pointer(arguments[0], WPY_room) : NULL;
    int r = 1;

    if (room == NULL)
        return count == 12 ? NULL : wpy_raise(WSOCK_EINVAL, NULL);
    if (arguments[5] != Py_None) {
        what.only = accepts;
        what.only_user = arguments[5];
    }
    if (describe(&what, arguments) == 0 && exclude(&what, &excluded, arguments[4]) == 0)
        r = is_message(arguments[1]) ? publish_message(room, &what, arguments)
                                     : publish_bytes(room, &what, arguments, &position);
    release_excluded(&excluded);
    if (PyErr_Occurred())
        return NULL;
    /* A worker is far behind, or the broker away: nobody got it. */
    if (r < 0 && (r != WSOCK_EAGAIN || arguments[11] != Py_None))
        return wpy_raise(r, NULL);
    return Py_BuildValue("(iKK)", r < 0 ? 0 : r, (unsigned long long)position.epoch,
                         (unsigned long long)position.offset);
}

/* ---- what was said ---- */

/* position(room): (epoch, offset), or None without history. */
static PyObject *position(PyObject *Py_UNUSED(module), PyObject *handle)
{
    wsock_position where = {.size = sizeof where};
    wsock_room *room = wpy_pointer(handle, WPY_room);
    const int r = room != NULL ? wsock_room_position(room, &where) : 0;

    if (room == NULL)
        return NULL;
    if (r == WSOCK_ENOTSUP)
        Py_RETURN_NONE;
    if (r < 0)
        return wpy_raise(r, NULL);
    return Py_BuildValue("(KK)", (unsigned long long)where.epoch,
                         (unsigned long long)where.offset);
}

static int append(const wsock_room_message *message, void *list)
{
    PyObject *entry = wpy_room_message(message);
    const int r = entry != NULL ? PyList_Append(list, entry) : -1;

    Py_XDECREF(entry);
    return r;
}

/* history(room, before, limit): a list of what wpy_room_message() tells. */
static PyObject *history(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    unsigned long long before, limit;
    PyObject *handle, *list;
    wsock_room *room;
    int r;

    if (!PyArg_ParseTuple(arguments, "OKK", &handle, &before, &limit))
        return NULL;
    room = wpy_pointer(handle, WPY_room);
    list = room != NULL ? PyList_New(0) : NULL;
    if (list == NULL)
        return NULL;
    r = wsock_room_history(room, before, (size_t)limit, append, list);
    if (r < 0 && PyErr_Occurred() == NULL)
        wpy_raise(r, NULL);
    if (PyErr_Occurred() != NULL)
        Py_CLEAR(list);
    return list;
}

PyMethodDef wpy_room_functions[] = {
    {"make_room", make_room, METH_VARARGS, "(server, name, [option, value, ...])"},
    {"join", join, METH_VARARGS,
     "(room, conn, info, (epoch, offset) or None, queue, on_joined or None): "
     "(recovered or None, count, epoch, offset)"},
    {"publish", (PyCFunction)(void (*)(void))publish, METH_FASTCALL,
     "(room, data, text, compress, exclude, only, key, event, sender, json, queue, "
     "on_done or None): "
     "(for how many, epoch, offset)"},
    {"position", position, METH_O, "(room): (epoch, offset), or None without history."},
    {"history", history, METH_VARARGS,
     "(room, before, limit): a list of (data, key, epoch, offset, prev, time_ms, event, "
     "sender, json)"},
    {NULL, NULL, 0, NULL},
};
