/* SPDX-License-Identifier: MIT */
/* The handlers of rooms: they run on the queue of the server as those of connections do,
 * and are told plain values, of which Python makes what users see. */
#include "native.h"

/* Whose arguments could not be made is told of nothing; what raises closes no connection,
 * as it is about the room. @param arguments (consumed, nullable) */
static void tell(struct wpy_hooks *hooks, enum wpy_event event, PyObject *arguments)
{
    PyObject *fn = Py_XNewRef(hooks->fn[event]), *result = NULL;

    if (arguments != NULL && fn != NULL)
        result = PyObject_CallObject(fn, arguments);
    if (PyErr_Occurred() != NULL)
        wpy_failed(hooks->queue, hooks->fn[WPY_ON_ERROR], NULL);
    Py_XDECREF(result);
    Py_XDECREF(fn);
    Py_XDECREF(arguments);
    Py_DECREF(hooks);
}

static void tell_member(const wsock_member *member, void *user, enum wpy_event event)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);

    if (hooks == NULL)
        return;
    tell(hooks, event,
         Py_BuildValue("(NNy#NNNi)", wpy_conn_shown(member->conn),
                       wpy_text_unless_empty(member->identity), member->info,
                       (Py_ssize_t)member->info_len, wpy_text(member->reason),
                       PyBool_FromLong(member->first), PyBool_FromLong(member->last),
                       (int)member->how));
}

static void on_join(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    tell_member(member, user, WPY_ON_JOIN);
}

static void on_leave(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    tell_member(member, user, WPY_ON_LEAVE);
}

PyObject *wpy_room_message(const wsock_room_message *message)
{
    return Py_BuildValue(
        "(NNKKKLNNN)", wpy_payload(message->type, message->data, message->len),
        wpy_text(message->key), (unsigned long long)message->epoch,
        (unsigned long long)message->offset, (unsigned long long)message->prev,
        (long long)message->time_ms, wpy_text(message->event),
        wpy_text_unless_empty(message->from), PyBool_FromLong(message->is_json));
}

static void on_message(wsock_room *room, const wsock_room_message *message, void *user)
{
    struct wpy_hooks *hooks = wpy_hooks_of(user);

    (void)room;
    if (hooks != NULL)
        tell(hooks, WPY_ON_MESSAGE, wpy_room_message(message));
}

int wpy_register_room(void *room, enum wpy_event event, bool on, void *sink)
{
    wsock_free_fn freed = sink != NULL ? wpy_sink_unref : NULL;

    switch (event) {
    case WPY_ON_JOIN:
        return wsock_room_on_join(room, on ? on_join : NULL, sink, freed);
    case WPY_ON_LEAVE:
        return wsock_room_on_leave(room, on ? on_leave : NULL, sink, freed);
    case WPY_ON_MESSAGE:
        return wsock_room_on_message(room, on ? on_message : NULL, sink, freed);
    default:
        return WSOCK_ENOTSUP;
    }
}
