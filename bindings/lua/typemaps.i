/* SPDX-License-Identifier: MIT */
/* How the C functions look from Lua: handles are userdata of handle.c, results below 0 are
 * nil, text and code, and whole numbers are integers where Lua has them. */
%{
#include "core.h"
%}

%define WSOCK_HANDLE(type, drop)
%typemap(in) wsock_##type *, const wsock_##type *
%{ $1 = wlua_check(L, $input, WLUA_##type); %}
/* The userdata comes first, so that nothing is lost when there is no memory for it; but
 * behind the arguments, which are counted before. */
%typemap(in, numinputs=0) wsock_##type **out
%{ $1 = NULL; %}
%typemap(check) wsock_##type **out
%{ $1 = wlua_new_handle(L, WLUA_##type); %}
%typemap(argout) wsock_##type **out
%{ SWIG_arg++; %}
%enddef

/* nil is allowed here. */
%typemap(in) wsock_conn *except
%{ $1 = lua_isnoneornil(L, $input) ? NULL : wlua_check(L, $input, WLUA_conn); %}

/* Belongs to the connection: a handle of it needs a reference of its own. */
%typemap(out) wsock_request *wsock_conn_request
%{
    if ($1 != NULL) {
        wsock_request **handle = wlua_new_handle(L, WLUA_request);

        *handle = wsock_request_ref($1);
    } else {
        lua_pushnil(L);
    }
    SWIG_arg++;
%}

/* By hand: rooms.c. */
%ignore wsock_room_join;

/* client.conn is kept by wsock.lua. */
%ignore wsock_client_conn;

%typemap(out) int, int64_t
%{
    if ($1 < 0)
        return wlua_fail(L, (int)$1);
    lua_pushinteger(L, (lua_Integer)$1);
    SWIG_arg++;
%}
%define WSOCK_STATUS(function)
%typemap(out) int function
%{
    if ($1 < 0)
        return wlua_fail(L, $1);
%}
%enddef
%typemap(out) size_t, uint64_t
%{ lua_pushinteger(L, (lua_Integer)$1); SWIG_arg++; %}

%typemap(in) int
%{ $1 = (int)wlua_integer(L, $input, INT32_MIN, INT32_MAX); %}
%typemap(in) int64_t
%{ $1 = wlua_integer(L, $input, INT64_MIN, INT64_MAX); %}
%typemap(in) size_t, uint64_t
%{ $1 = ($1_ltype)wlua_integer(L, $input, 0, INT64_MAX); %}
%typemap(in) const char *
%{ $1 = (char *)wlua_text(L, $input); %}
%typemap(in) (const void *data, size_t len)
%{ $1 = (void *)wlua_bytes(L, $input, &$2); %}

/* nil is nothing. */
%typemap(in) (const char *json, size_t len)
%{ $2 = 0; $1 = lua_isnoneornil(L, $input) ? NULL : (char *)wlua_bytes(L, $input, &$2); %}

%typemap(in, numinputs=0) int64_t *out (int64_t number = 0)
%{ $1 = &number; %}
%typemap(argout) int64_t *out
%{ lua_pushinteger(L, (lua_Integer)*$1); SWIG_arg++; %}

%typemap(in, numinputs=0) (char *out, size_t size) (char text[4096])
%{
    $1 = text;
    $2 = sizeof text;
%}
%typemap(argout) (char *out, size_t size)
%{ lua_pushstring(L, $1); SWIG_arg++; %}

%typemap(in, numinputs=0) const char **name (const char *text = NULL), const char **value (const char *text = NULL)
%{ $1 = (char **)&text; %}
/* Name and value; nothing behind the last. */
%typemap(out) int wsock_request_field_at, int wsock_conn_response_field_at
%{
    if ($1 < 0)
        return 0;
    lua_pushstring(L, *arg2);
    lua_pushstring(L, *arg3);
    SWIG_arg += 2;
%}

%typemap(in, numinputs=0) (const void **data, size_t *len) (const void *bytes = NULL, size_t count = 0)
%{ $1 = (void *)&bytes; $2 = &count; %}
/* Empty when there is none. */
%typemap(out) int wsock_conn_response_body, int wsock_request_body
%{ lua_pushlstring(L, $1 == 0 ? *arg2 : "", $1 == 0 ? *arg3 : 0); SWIG_arg++; %}

%typemap(out) const void *wsock_message_data
%{ lua_pushlstring(L, $1, wsock_message_len(arg1)); SWIG_arg++; %}

/* What questions say and how they are answered is wrapped here, the rest is in asks.c. */
WSOCK_HANDLE(ask, wsock_ask_unref)
%rename(ask_kind) wsock_ask_kind;
%rename(ask_room) wsock_ask_room;
%rename(ask_name) wsock_ask_name;
%rename(ask_token) wsock_ask_token;
%rename(ask_event) wsock_ask_event;
%rename(ask_key) wsock_ask_key;
%rename(ask_set_identity) wsock_ask_set_identity;
%rename(ask_set_info) wsock_ask_set_info;
%rename(ask_set_expiry_ms) wsock_ask_set_expiry_ms;
%rename(ask_set_data) wsock_ask_set_data;
%rename(ask_accept) wsock_ask_accept;
%rename(ask_refuse) wsock_ask_refuse;
%rename(ask_reply) wsock_ask_reply;
