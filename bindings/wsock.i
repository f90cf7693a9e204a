/* SPDX-License-Identifier: MIT */
/* What the bindings of all languages have in common: which of the public headers' functions
 * are wrapped as they stand, and what the headers' ownership words mean for them. What
 * takes a function of C's is left out here; each language has trampolines of its own,
 * written by hand, beside its typemaps (bindings/LANGUAGE/typemaps.i).
 *
 * Each language's typemaps.i defines, before this file goes on:
 *   WSOCK_HANDLE(type, drop)  what a `wsock_TYPE *` is: an argument is never NULL, ended or
 *                             of another type without the language's own error; a result
 *                             and a `wsock_TYPE **out` belong to the script, which drops
 *                             it with `drop`;
 *   WSOCK_STATUS(function)    its `int` is 0 or an error, and no result for a script. */
%module(docstring="The C functions of libwsock.") wsock

%{
#include <wsock/wsock.h>
%}

%include <stdint.i>

/* wsock_conn_send is conn_send, WSOCK_TEXT is TEXT. */
%rename("%(regex:/^(?:wsock_|WSOCK_)(.*)/\\1/)s") "";

/* Take functions: by hand. */
%rename("$ignore", regexmatch$name="^wsock_(server|endpoint|client|room)_on_") "";
%ignore wsock_runtime_on_log;
%ignore wsock_conn_post;
%ignore wsock_conn_timer;
%ignore wsock_queue_post;
%ignore wsock_queue_timer;
%ignore wsock_queue_take_data;
%ignore wsock_runtime_timer;
%ignore wsock_room_broadcast_if;
%ignore wsock_set_allocator;
/* Hold pointers of the binding's own. */
%rename("$ignore", regexmatch$name="^wsock_(conn|request)_(set|get)_user$") "";
/* The script's handles are the references. */
%rename("$ignore", regexmatch$name="^wsock_[a-z_]+_(ref|unref)$") "";
%ignore wsock_runtime_free;
%ignore wsock_server_free;
/* Run handlers, or wait for those: by hand, since a lock of the language may have to go. */
%ignore wsock_queue_dispatch;
%ignore wsock_queue_wait;
%ignore wsock_runtime_run;
%ignore wsock_server_wait;
/* Fill arrays and structs. */
%ignore wsock_room_members;
%ignore wsock_server_rooms;
%ignore wsock_server_make_room;
%ignore wsock_room_publish;
%warnfilter(314) wsock_publish::except; /* a word of Python, in what is left out */
%ignore wsock_publish;
%ignore wsock_published;
%ignore wsock_room_join_with;
%ignore wsock_join;
%rename("$ignore", regexmatch$name="^wsock_(position|joined|room_message|member|person)$") "";
%ignore wsock_room_join_since;
%ignore wsock_room_position;
%ignore wsock_room_history;
%ignore wsock_room_dropped; /* of one member, or of all */
%ignore wsock_room_people;
%ignore wsock_room_people_everywhere;
%ignore wsock_room_info;
%ignore wsock_server_nodes;
%ignore wsock_server_cluster;
%ignore wsock_node;
%ignore wsock_server_identity_conns;
%ignore wsock_option_at;
%ignore wsock_option_info;
%ignore wsock_close_info;
%ignore wsock_state_info;
%ignore wsock_jwt_verify;
%ignore wsock_jwt_rules;
/* Rooms for pages: hooks are functions, and what they are asked is an object of its own. */
%ignore wsock_endpoint_serve_rooms;
%ignore wsock_rooms_hooks;
%rename("$ignore", regexmatch$name="^wsock_ask_") "";

%include "typemaps.i"

WSOCK_HANDLE(runtime, wsock_runtime_unref)
WSOCK_HANDLE(server, wsock_server_unref)
WSOCK_HANDLE(endpoint, wsock_endpoint_unref)
WSOCK_HANDLE(request, wsock_request_unref)
WSOCK_HANDLE(conn, wsock_conn_unref)
WSOCK_HANDLE(client, wsock_client_unref)
WSOCK_HANDLE(message, wsock_message_unref)
WSOCK_HANDLE(room, wsock_room_unref)
WSOCK_HANDLE(queue, wsock_queue_unref)
WSOCK_HANDLE(timer, wsock_timer_unref)
WSOCK_HANDLE(jwt_key, wsock_jwt_key_unref)
WSOCK_HANDLE(jwt, wsock_jwt_unref)

WSOCK_STATUS(wsock_runtime_new)
WSOCK_STATUS(wsock_runtime_queue)
WSOCK_STATUS(wsock_runtime_client)
WSOCK_STATUS(wsock_runtime_message)
WSOCK_STATUS(wsock_runtime_jwt_key)
WSOCK_STATUS(wsock_runtime_get_int64)
WSOCK_STATUS(wsock_server_new)
WSOCK_STATUS(wsock_server_endpoint)
WSOCK_STATUS(wsock_server_room)
WSOCK_STATUS(wsock_server_find_room)
WSOCK_STATUS(wsock_server_room_defaults)
WSOCK_STATUS(wsock_server_url)
WSOCK_STATUS(wsock_server_get_int64)
WSOCK_STATUS(wsock_server_get_string)
WSOCK_STATUS(wsock_server_away)
WSOCK_STATUS(wsock_room_get_int64)
WSOCK_STATUS(wsock_room_get_string)
WSOCK_STATUS(wsock_endpoint_get_int64)
WSOCK_STATUS(wsock_client_get_int64)
WSOCK_STATUS(wsock_client_connect)
WSOCK_STATUS(wsock_client_connect_fd)
WSOCK_STATUS(wsock_conn_extensions)
WSOCK_STATUS(wsock_testing_new)
WSOCK_STATUS(wsock_testing_next_ms)

#define WSOCK_API
%include <wsock/types.h>
%include <wsock/error.h>
%include <wsock/version.h>
%include <wsock/option.h>
%include <wsock/runtime.h>
%include <wsock/message.h>
%include <wsock/request.h>
%include <wsock/conn.h>
%include <wsock/tls.h>
%include <wsock/timer.h>
%include <wsock/queue.h>
%include <wsock/endpoint.h>
%include <wsock/server.h>
%include <wsock/client.h>
%include <wsock/history.h>
%include <wsock/room.h>
%include <wsock/member.h>
%include <wsock/pattern.h>
%include <wsock/rooms_v1.h>
%include <wsock/cluster.h>
%include <wsock/jwt.h>
%include <wsock/testing.h>
