/* SPDX-License-Identifier: MIT */
/* How the C functions look from Python: handles are objects of handle.c, results below 0
 * are raised as wsock.Error, texts are str and payloads str or bytes. */
%{
#include "native.h"
%}

%init %{
    if (wpy_init(m) < 0)
        return NULL;
%}

%define WSOCK_HANDLE(type, drop)
%typemap(in) wsock_##type *, const wsock_##type *
{
    $1 = wpy_pointer($input, WPY_##type);
    if ($1 == NULL)
        SWIG_fail;
}
%typemap(in, numinputs=0) wsock_##type **out (wsock_##type *made = NULL)
{
    $1 = &made;
}
%typemap(argout) wsock_##type **out
{
    Py_XDECREF($result);
    $result = wpy_handle(*$1, WPY_##type);
    if ($result == NULL)
        SWIG_fail;
}
%typemap(out) wsock_##type *
{
    $result = wpy_handle($1, WPY_##type);
    if ($result == NULL)
        SWIG_fail;
}
%enddef

/* By hand, since a connection has one object (hooks.c), and since what can be sent is of
 * several types (conn.c, room.c). */
%ignore wsock_client_conn;
%ignore wsock_client_connect;
%ignore wsock_client_connect_fd;
%ignore wsock_conn_send;
%ignore wsock_conn_request;
%ignore wsock_room_broadcast;
%ignore wsock_room_broadcast_except;
%ignore wsock_room_broadcast_message;
%ignore wsock_room_join;
%ignore wsock_room_send_to;
%ignore wsock_server_send_to;
%ignore wsock_queue_close;
%ignore wsock_queue_wake;

%typemap(in) const char *
{
    if (wpy_string((const char **)&$1, $input) < 0)
        SWIG_fail;
}
%typemap(freearg) const char * ""

%typemap(out) int
{
    if ($1 < 0) {
        wpy_raise_of(args, $1);
        SWIG_fail;
    }
    $result = PyLong_FromLong($1);
}
%define WSOCK_STATUS(function)
%typemap(out) int function
{
    if ($1 < 0) {
        wpy_raise_of(args, $1);
        SWIG_fail;
    }
    $result = Py_NewRef(Py_None);
}
%enddef

/* None before there is one. */
%typemap(out) int64_t wsock_conn_rtt_us
{
    $result = $1 > 0 ? PyLong_FromLongLong($1) : Py_NewRef(Py_None);
}

%typemap(in, numinputs=0) int64_t *out (int64_t number = 0)
{
    $1 = &number;
}
%typemap(argout) int64_t *out
{
    Py_XDECREF($result);
    $result = PyLong_FromLongLong(*$1);
}

%typemap(in, numinputs=0) (char *out, size_t size) (char text[4096])
{
    $1 = text;
    $2 = sizeof text;
}
%typemap(argout) (char *out, size_t size)
{
    Py_XDECREF($result);
    $result = wpy_text($1);
}

%typemap(in, numinputs=0) const char **name (const char *text = NULL), const char **value (const char *text = NULL)
{
    $1 = &text;
}
/* A pair; the end of the fields is None. */
%typemap(out) int wsock_request_field_at, int wsock_conn_response_field_at
{
    if ($1 == WSOCK_EINVAL) {
        wpy_raise_of(args, $1);
        SWIG_fail;
    }
    $result = $1 < 0 ? Py_NewRef(Py_None) : wpy_pair(*arg2, *arg3);
}

%typemap(in, numinputs=0) (const void **data, size_t *len) (const void *bytes = NULL, size_t count = 0)
{
    $1 = &bytes;
    $2 = &count;
}
/* Empty when there is none. */
%typemap(out) int wsock_conn_response_body, int wsock_request_body
{
    $result = PyBytes_FromStringAndSize($1 == 0 ? *arg2 : "", $1 == 0 ? (Py_ssize_t)*arg3 : 0);
}

/* What comes from peers is UTF-8 as a rule only. */
%typemap(out) const char *
{
    $result = wpy_text($1);
}

%typemap(in) (const void *data, size_t len) (struct wpy_bytes payload = WPY_NO_BYTES)
{
    if (wpy_bytes_get(&payload, $input) < 0)
        SWIG_fail;
    $1 = (void *)payload.data;
    $2 = payload.len;
}
%typemap(freearg) (const void *data, size_t len)
{
    wpy_bytes_release(&payload$argnum);
}
%typemap(out) const void *wsock_message_data
{
    $result = PyBytes_FromStringAndSize($1, (Py_ssize_t)wsock_message_len(arg1));
}

/* May look up a name, which takes seconds. */
%exception wsock_server_listen
{
    PyThreadState *state = PyEval_SaveThread();
    $action
    PyEval_RestoreThread(state);
}
