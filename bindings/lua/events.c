/* SPDX-License-Identifier: MIT */
/* The way of an event into its handler. The library calls a trampoline, inside dispatch;
 * that only notes the event and resumes a coroutine with the function `run` of wsock.lua,
 * which asks take() for the handler and its arguments. So whatever may fail, from the copy
 * of a payload to the handler, does so inside the coroutine, and nothing of Lua ever jumps
 * over frames of the library. The coroutine is used again and again; only when a handler
 * yields it is left to that, and when one fails it is dropped. */
#include "core.h"

#include <stdio.h>

/* ---- running ---- */

static int resume(lua_State *co, lua_State *from)
{
#if LUA_VERSION_NUM >= 504
    int results;

    return lua_resume(co, from, 0, &results);
#elif LUA_VERSION_NUM >= 502
    return lua_resume(co, from, 0);
#else
    (void)from;
    return lua_resume(co, 0);
#endif
}

/* Goes on without the coroutine of the last event; arguments: error value, state. */
static int replace(lua_State *L)
{
    struct wlua_state *state = lua_touserdata(L, 2);
    const struct wlua_event *event = &state->event;
    const bool parked = lua_status(state->co) == LUA_YIELD;
    lua_State *fresh = lua_newthread(L);
    const int fresh_ref = luaL_ref(L, LUA_REGISTRYINDEX);

    lua_rawgeti(L, LUA_REGISTRYINDEX,
                state->function_refs[parked ? WLUA_PARKED : WLUA_FAILED]);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->co_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, state->co_ref);
    state->co = fresh;
    state->co_ref = fresh_ref;
    lua_pushvalue(L, 1);
    lua_pushinteger(L, event->kind);
    if (event->kind <= WLUA_CLOSE) {
        struct wlua_slot *slot = wsock_conn_get_user(event->object);

        if (slot != NULL) {
            slot->busy = slot->busy || parked;
            lua_rawgeti(L, LUA_REGISTRYINDEX, slot->ref);
        }
    }
    lua_call(L, lua_gettop(L) - 3, 0);
    return 0;
}

static void run(struct wlua_state *state)
{
    lua_State *L = state->L, *co = state->co;
    int status;

    lua_rawgeti(co, LUA_REGISTRYINDEX, state->run_ref);
    status = resume(co, L);
    if (status == 0) {
        lua_settop(co, 0);
        return;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->replace_ref);
    if (status == LUA_YIELD)
        lua_pushnil(L);
    else
        lua_xmove(co, L, 1);
    lua_pushlightuserdata(L, state);
    /* on_error itself has failed, or there is no memory for a coroutine. */
    if (lua_pcall(L, 2, 0, 0) != 0) {
        fprintf(stderr, "wsock: on_error: %s\n", lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

static void happened(const struct wlua_slot *slot, struct wlua_event event)
{
    event.slot = slot;
    slot->state->event = event;
    slot->state->pending = true;
    run(slot->state);
}

/* ---- trampolines ---- */

static void on_message(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_MESSAGE,
                                       .object = conn,
                                       .flags = type,
                                       .data = data,
                                       .len = len});
}

static void on_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                    void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_PART,
                                       .object = conn,
                                       .flags = type | flags << 8,
                                       .data = data,
                                       .len = len});
}

static void on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    happened(user, (struct wlua_event){
                       .kind = WLUA_PONG, .object = conn, .data = data, .len = len});
}

static void on_drain(wsock_conn *conn, void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_DRAIN, .object = conn});
}

static void on_open(wsock_conn *conn, void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_OPEN, .object = conn});
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_CLOSE, .object = conn, .data = info});
}

static void on_request(wsock_request *request, void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_REQUEST, .object = request});
}

static void on_http(wsock_request *request, void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_HTTP, .object = request});
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    (void)client;
    happened(user, (struct wlua_event){.kind = WLUA_STATE, .data = info});
}

static void on_stopped(wsock_server *server, void *user)
{
    (void)server;
    happened(user, (struct wlua_event){.kind = WLUA_STOPPED});
}

static void on_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    happened(user, (struct wlua_event){.kind = WLUA_TIMER, .missed = missed});
}

static void on_call(void *user)
{
    happened(user, (struct wlua_event){.kind = WLUA_CALL});
}

/* ---- what run() asks for ---- */

static void set_number(lua_State *L, const char *name, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void push_close_info(lua_State *L, const wsock_close_info *info)
{
    lua_createtable(L, 0, 12);
    set_number(L, "code", info->code);
    set_text(L, "reason", info->reason);
    set_text(L, "detail", info->detail);
    set_number(L, "cause", info->cause);
    set_text(L, "cause_text", wsock_cause_text(info->cause));
    set_number(L, "http_status", info->http_status);
    set_number(L, "errno", info->sys_errno);
    set_number(L, "began", info->began);
    set_number(L, "tls_error", info->tls_error);
    set_number(L, "tls_alert", info->tls_alert);
    lua_pushboolean(L, info->opened != 0);
    lua_setfield(L, -2, "opened");
}

static void push_state_info(lua_State *L, const wsock_state_info *info)
{
    lua_createtable(L, 0, 4);
    set_number(L, "state", info->state);
    set_number(L, "attempt", info->attempt);
    lua_pushnumber(L, (lua_Number)info->delay_ms / 1000);
    lua_setfield(L, -2, "delay");
    if (info->why != NULL) {
        push_close_info(L, info->why);
        lua_setfield(L, -2, "why");
    }
}

/* The object of a connection, or nil; where there is none yet, a handle if asked for. */
static void push_conn(lua_State *L, wsock_conn *conn, bool or_handle)
{
    const struct wlua_slot *slot = wsock_conn_get_user(conn);

    if (slot != NULL)
        lua_rawgeti(L, LUA_REGISTRYINDEX, slot->ref);
    else if (or_handle)
        *(wsock_conn **)wlua_new_handle(L, WLUA_conn) = wsock_conn_ref(conn);
    else
        lua_pushnil(L);
}

static int take_message(lua_State *L, const struct wlua_event *event, bool has_hooks)
{
    const struct wlua_slot *slot = wsock_conn_get_user(event->object);

    if (!has_hooks || slot == NULL)
        return 0;
    if (slot->busy)
        lua_rawgeti(L, LUA_REGISTRYINDEX,
                    event->slot->state->function_refs[WLUA_BUSY]);
    else
        lua_rawgeti(L, -1, WLUA_MESSAGE);
    if (lua_isnil(L, -1))
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, slot->ref);
    lua_pushlstring(L, event->data, event->len);
    lua_pushboolean(L, event->flags == WSOCK_BINARY);
    return 4;
}

/* What a function of wsock.lua gets for an event that is rarer, behind the hooks. */
static int push_rest(lua_State *L, const struct wlua_event *event)
{
    switch (event->kind) {
    case WLUA_OPEN:
        *(wsock_conn **)wlua_new_handle(L, WLUA_conn) = wsock_conn_ref(event->object);
        push_conn(L, event->object, false);
        return 2;
    case WLUA_CLOSE:
        push_conn(L, event->object, true);
        push_close_info(L, event->data);
        return 2;
    case WLUA_DRAIN:
        push_conn(L, event->object, false);
        return 1;
    case WLUA_PONG:
    case WLUA_PART:
        lua_pop(L, 1); /* the connection knows its hooks, and three arguments pass */
        push_conn(L, event->object, false);
        lua_pushlstring(L, event->data, event->len);
        lua_pushinteger(L, event->flags);
        return 2;
    case WLUA_REQUEST:
    case WLUA_HTTP:
        *(wsock_request **)wlua_new_handle(L, WLUA_request) =
            wsock_request_ref(event->object);
        return 1;
    case WLUA_STATE:
        push_state_info(L, event->data);
        return 1;
    default:
        lua_pushinteger(L, (lua_Integer)event->missed);
        return 1;
    }
}

/* @return function, hooks (for timers and calls: what the slot is of) and arguments;
 *         nothing when nobody wants to know */
static int take(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const struct wlua_event *event = &state->event;
    bool has_hooks = true;

    if (!state->pending)
        return 0;
    state->pending = false;
    luaL_checkstack(L, 8, NULL);
    if (event->kind == WLUA_MESSAGE) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->hooks_ref);
        lua_rawgeti(L, -1, event->slot->ref);
        return take_message(L, event, lua_istable(L, -1));
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->function_refs[event->kind]);
    if (event->slot->is_hooks) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->hooks_ref);
        lua_rawgeti(L, -1, event->slot->ref);
        lua_replace(L, -2);
        has_hooks = lua_istable(L, -1);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, event->slot->ref);
    }
    return has_hooks ? 2 + push_rest(L, event) : 0;
}

/* ---- registering ---- */

/* The table of hooks belongs to the server, endpoint or client, whose handlers refer to it
 * as a rule: if the registry held it as well, such a cycle would never go. */
static struct wlua_slot *hooks_slot(lua_State *L, int index)
{
    struct wlua_state *state = wlua_state_of(L);
    struct wlua_slot *slot;

    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    slot = wlua_slot_new(L, state, lua_gettop(L));
    if (slot == NULL) {
        luaL_error(L, "not enough memory"); /* does not return */
        return NULL;
    }
    slot->is_hooks = true;
    slot->ref = state->next_hooks++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->hooks_ref);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, slot->ref);
    lua_pop(L, 2);
    return slot;
}

static int registered(lua_State *L, struct wlua_slot *slot, int r)
{
    if (r < 0) {
        wlua_slot_release(slot);
        return wlua_fail(L, r);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int hook_endpoint(lua_State *L)
{
    wsock_endpoint *endpoint = wlua_check(L, 1, WLUA_endpoint);
    const int64_t kind = wlua_integer(L, 3, 1, WLUA_EVENT_KINDS);
    struct wlua_slot *slot = hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

#define HOOK(KIND, of, object, name)                                            \
    if (kind == (KIND))                                                         \
        r = wsock_##of##_on_##name(object, on_##name, slot, wlua_slot_release)
    HOOK(WLUA_REQUEST, endpoint, endpoint, request);
    HOOK(WLUA_OPEN, endpoint, endpoint, open);
    HOOK(WLUA_MESSAGE, endpoint, endpoint, message);
    HOOK(WLUA_PART, endpoint, endpoint, part);
    HOOK(WLUA_PONG, endpoint, endpoint, pong);
    HOOK(WLUA_DRAIN, endpoint, endpoint, drain);
    HOOK(WLUA_CLOSE, endpoint, endpoint, close);
    return registered(L, slot, r);
}

static int hook_client(lua_State *L)
{
    wsock_client *client = wlua_check(L, 1, WLUA_client);
    const int64_t kind = wlua_integer(L, 3, 1, WLUA_EVENT_KINDS);
    struct wlua_slot *slot = hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

    HOOK(WLUA_OPEN, client, client, open);
    HOOK(WLUA_MESSAGE, client, client, message);
    HOOK(WLUA_PART, client, client, part);
    HOOK(WLUA_PONG, client, client, pong);
    HOOK(WLUA_DRAIN, client, client, drain);
    HOOK(WLUA_CLOSE, client, client, close);
    HOOK(WLUA_STATE, client, client, state);
    return registered(L, slot, r);
}

static int hook_server(lua_State *L)
{
    wsock_server *server = wlua_check(L, 1, WLUA_server);
    const int64_t kind = wlua_integer(L, 3, 1, WLUA_EVENT_KINDS);
    struct wlua_slot *slot = hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

    HOOK(WLUA_HTTP, server, server, http);
    HOOK(WLUA_STOPPED, server, server, stopped);
    return registered(L, slot, r);
#undef HOOK
}

static uint64_t milliseconds(lua_State *L, int index)
{
    const lua_Number seconds = luaL_checknumber(L, index);

    if (!(seconds >= 0 && seconds <= 1e9))
        luaL_argerror(L, index, "seconds out of range");
    return (uint64_t)(seconds * 1000 + 0.5);
}

/* timer(what, first, every): what is handed to the function of timers. */
static int start_timer(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const uint64_t first_ms = milliseconds(L, 2), every_ms = milliseconds(L, 3);
    wsock_timer **out = wlua_new_handle(L, WLUA_timer);
    int r = wlua_start(state);
    struct wlua_slot *slot;

    if (r < 0)
        return wlua_fail(L, r);
    slot = wlua_slot_new(L, state, 1);
    if (slot == NULL)
        return wlua_fail(L, WSOCK_ENOMEM);
    r = wsock_queue_timer(state->queue, out, first_ms, every_ms, on_timer, slot,
                          wlua_slot_release);
    if (r < 0) {
        wlua_slot_release(slot);
        return wlua_fail(L, r);
    }
    return 1;
}

static int post_call(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    struct wlua_slot *slot;
    int r = wlua_start(state);

    if (r < 0)
        return wlua_fail(L, r);
    luaL_checkany(L, 1);
    slot = wlua_slot_new(L, state, 1);
    if (slot == NULL)
        return wlua_fail(L, WSOCK_ENOMEM);
    return registered(L, slot,
                      wsock_queue_post(state->queue, on_call, slot, wlua_slot_release));
}

/* set_functions(run, hooks, {[kind] = function}) */
static int set_functions(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);

    for (int i = WLUA_PART; i < WLUA_FUNCTIONS; i++) {
        lua_rawgeti(L, 3, i);
        state->function_refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_settop(L, 2);
    state->hooks_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    state->run_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, replace);
    state->replace_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

const luaL_Reg wlua_event_functions[] = {
    {"take", take},
    {"set_functions", set_functions},
    {"hook_server", hook_server},
    {"hook_endpoint", hook_endpoint},
    {"hook_client", hook_client},
    {"timer", start_timer},
    {"post", post_call},
    {NULL, NULL},
};
