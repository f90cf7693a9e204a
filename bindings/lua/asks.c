/* SPDX-License-Identifier: MIT */
/* Who serves rooms is asked: questions on their way into hooks, and what of them takes or
 * tells more than plain values. All kinds of questions are one event; ask.lua knows whose
 * hook it is. What a question says and how it is answered SWIG wraps. */
#include "core.h"

static void on_ask(wsock_ask *ask, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_ASK,
                                            .object = wsock_ask_conn(ask),
                                            .data = ask});
}

int wlua_push_ask(lua_State *L, const struct wlua_event *event)
{
    wsock_ask **handle = wlua_new_handle(L, WLUA_ask);

    *handle = wsock_ask_ref((wsock_ask *)event->data);
    wlua_push_conn(L, event->object);
    return 2;
}

void wlua_fail_ask(struct wlua_state *state, wsock_ask *ask)
{
    if (wsock_ask_refuse(ask, "failed", "the hook failed", 1) == WSOCK_ENOMEM)
        wlua_drop_object(state->handles, ask);
}

/* A hook's place in the struct of hooks: there, or not. */
static wsock_ask_fn fn_if(lua_State *L, int index)
{
    return lua_toboolean(L, index) ? on_ask : NULL;
}

/* serve_rooms(endpoint, hooks, hello, join, publish, call): whether there is a hook for
 * each */
static int serve_rooms(lua_State *L)
{
    wsock_endpoint *endpoint = wlua_check(L, 1, WLUA_endpoint);
    struct wlua_slot *slot = wlua_hooks_slot(L, 2);
    const wsock_rooms_hooks hooks = {.size = sizeof hooks,
                                     .on_hello = fn_if(L, 3),
                                     .on_join = fn_if(L, 4),
                                     .on_publish = fn_if(L, 5),
                                     .on_call = fn_if(L, 6)};

    return wlua_registered(
        L, slot, wsock_endpoint_serve_rooms(endpoint, &hooks, slot, wlua_slot_release));
}

/* ask_data(ask): data and type; nil where there is none. */
static int ask_data(lua_State *L)
{
    const void *data = NULL;
    size_t len = 0;
    const int type = wsock_ask_data(wlua_check(L, 1, WLUA_ask), &data, &len);

    if (type <= 0)
        return 0;
    lua_pushlstring(L, data, len);
    lua_pushinteger(L, type);
    return 2;
}

/* ask_fail(ask): refuse it, with memory or without; unless it was let go. */
static int ask_fail(lua_State *L)
{
    wsock_ask *ask = wlua_held(L, 1, WLUA_ask);

    if (ask != NULL)
        wlua_fail_ask(wlua_state_of(L), ask);
    return 0;
}

const luaL_Reg wlua_ask_functions[] = {
    {"serve_rooms", serve_rooms},
    {"ask_data", ask_data},
    {"ask_fail", ask_fail},
    {NULL, NULL},
};
