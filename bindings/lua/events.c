/* SPDX-License-Identifier: MIT */
/* The way of an event into its handler. The library calls a trampoline, inside dispatch;
 * that only notes the event and resumes a coroutine with the function `run` of wsock.lua,
 * which asks take() for the handler and its arguments. So whatever may fail, from the copy
 * of a payload to the handler, does so inside the coroutine, and nothing of Lua ever jumps
 * over frames of the library. The coroutine is used again and again; only when a handler
 * yields it is left to that, and when one fails it is dropped. */
#include "core.h"

#include <stdio.h>

/* The metatable of what refers to hooks. */
#define WEAK "wsock.weak"

/* ---- connections, as values ---- */

static void push_handle(lua_State *L, wsock_conn *conn)
{
    wsock_conn **handle = wlua_new_handle(L, WLUA_conn);

    *handle = wsock_conn_ref(conn);
}

static void push_request(lua_State *L, wsock_request *request)
{
    wsock_request **handle = wlua_new_handle(L, WLUA_request);

    *handle = wsock_request_ref(request);
}

/* What its request carries, or its object, if a client has made that; or nil. */
static void push_carried(lua_State *L, wsock_conn *conn)
{
    const struct wlua_slot *slot = wsock_conn_get_user(conn);

    if (slot != NULL)
        wlua_push(L, slot->state, slot->ref);
    else
        lua_pushnil(L);
}

/* The object of a connection, or nil; where there is none yet, a handle if asked for. */
static void push_conn(lua_State *L, wsock_conn *conn, bool or_handle)
{
    const struct wlua_slot *slot = wlua_adopted(conn);

    if (slot != NULL)
        wlua_push(L, slot->state, slot->ref);
    else if (or_handle)
        push_handle(L, conn);
    else
        lua_pushnil(L);
}

void wlua_push_conn(lua_State *L, wsock_conn *conn)
{
    push_conn(L, conn, false);
}

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

/* A coroutine for the events to come; leaves the former one on the stack. */
static void renew(lua_State *L, struct wlua_state *state)
{
    lua_State *fresh = lua_newthread(L);
    const int ref = wlua_ref(L, state);

    wlua_push(L, state, state->co_ref);
    wlua_unref(state, state->co_ref);
    state->co = fresh;
    state->co_ref = ref;
    state->spent = false;
}

/* What a handler that failed leaves behind that has no object of Lua's yet. */
static void abandon(struct wlua_state *state)
{
    const struct wlua_event *event = &state->event;

    if (event->kind == WLUA_REQUEST || event->kind == WLUA_HTTP)
        wsock_request_reject(event->object, 500, NULL);
    else if (event->kind == WLUA_OPEN && wlua_adopted(event->object) == NULL)
        wsock_conn_close(event->object, 1011, NULL);
    else if (event->kind == WLUA_ASK)
        wlua_fail_ask(state, (wsock_ask *)event->data);
    else if (event->kind == WLUA_ANSWER)
        wlua_lose_answer(state);
}

/* Goes on without the coroutine of the last event; arguments: error value, state. */
static int replace(lua_State *L)
{
    struct wlua_state *state = lua_touserdata(L, 2);
    const struct wlua_event *event = &state->event;
    const bool parked = lua_status(state->co) == LUA_YIELD;

    if (!parked)
        abandon(state);
    renew(L, state);
    wlua_push(L, state, state->function_refs[parked ? WLUA_PARKED : WLUA_FAILED]);
    lua_insert(L, -2);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, event->kind);
    if (event->kind <= WLUA_OF_CONNS) {
        struct wlua_slot *slot = wlua_adopted(event->object);

        if (slot != NULL) {
            slot->busy = slot->busy || parked;
            wlua_push(L, slot->state, slot->ref);
        }
    }
    lua_call(L, lua_gettop(L) - 3, 0);
    return 0;
}

static int replace_spent(lua_State *L)
{
    renew(L, lua_touserdata(L, 1));
    return 0;
}

/* Nobody could be told of the event, for want of memory or since on_error failed: whom it
 * was about is not left to wait for what will not come. Nothing here takes memory. */
static void give_up(struct wlua_state *state)
{
    const struct wlua_event *event = &state->event;
    lua_State *L = state->L;

    abandon(state);
    if (event->kind > WLUA_OF_CONNS)
        return;
    wsock_conn_close(event->object, 1011, NULL);
    if (event->kind == WLUA_CLOSE) {
        wlua_push(L, state, state->function_refs[WLUA_FORGET]);
        push_conn(L, event->object, false);
        if (lua_pcall(L, 1, 0, 0) != 0)
            lua_pop(L, 1);
    }
}

/* Call one of ours with the state last among so many arguments, where errors end. */
static bool calls(struct wlua_state *state, int arguments)
{
    lua_State *L = state->L;

    lua_pushlightuserdata(L, state);
    if (lua_pcall(L, arguments + 1, 0, 0) == 0)
        return true;
    fprintf(stderr, "wsock: a handler could not be called: %s\n",
            lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no text");
    lua_pop(L, 1);
    return false;
}

/* The coroutine that the last event used up could not be replaced then. */
static bool is_ready(struct wlua_state *state)
{
    if (!state->spent)
        return true;
    wlua_push(state->L, state, state->replace_spent_ref);
    return calls(state, 0);
}

static void run(struct wlua_state *state)
{
    lua_State *L = state->L, *co;
    int status;

    if (!is_ready(state)) {
        give_up(state);
        return;
    }
    co = state->co;
    wlua_push(co, state, state->run_ref);
    status = resume(co, L);
    if (status == 0) {
        lua_settop(co, 0);
        return;
    }
    state->spent = true;
    wlua_push(L, state, state->replace_ref);
    if (status == LUA_YIELD)
        lua_pushnil(L);
    else
        lua_xmove(co, L, 1);
    if (!calls(state, 1))
        give_up(state);
}

void wlua_happened(const struct wlua_slot *slot, struct wlua_event event)
{
    event.slot = slot;
    slot->state->event = event;
    slot->state->pending = true;
    run(slot->state);
}

/* ---- trampolines ---- */

static void on_message(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_MESSAGE,
                                       .object = conn,
                                       .flags = type,
                                       .data = data,
                                       .len = len});
}

static void on_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                    void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_PART,
                                       .object = conn,
                                       .flags = type | flags << 8,
                                       .data = data,
                                       .len = len});
}

static void on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    wlua_happened(user, (struct wlua_event){
                       .kind = WLUA_PONG, .object = conn, .data = data, .len = len});
}

static void on_drain(wsock_conn *conn, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_DRAIN, .object = conn});
}

static void on_open(wsock_conn *conn, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_OPEN, .object = conn});
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_CLOSE, .object = conn, .data = info});
}

static void on_request(wsock_request *request, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_REQUEST, .object = request});
}

static void on_request_cancelled(wsock_request *request, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_CANCELLED, .object = request});
}

static void on_http(wsock_request *request, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_HTTP, .object = request});
}

static void on_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    (void)client;
    wlua_happened(user, (struct wlua_event){.kind = WLUA_STATE, .data = info});
}

static void on_stopped(wsock_server *server, void *user)
{
    (void)server;
    wlua_happened(user, (struct wlua_event){.kind = WLUA_STOPPED});
}

static void on_cluster(wsock_server *server, int cluster, const char *why, void *user)
{
    (void)server;
    wlua_happened(user, (struct wlua_event){
                            .kind = WLUA_CLUSTER, .flags = cluster, .data = why});
}

static void on_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    (void)timer;
    wlua_happened(user, (struct wlua_event){.kind = WLUA_TIMER, .missed = missed});
}

static void on_conn_timer(wsock_timer *timer, uint64_t missed, void *user)
{
    const struct wlua_slot *slot = user;

    (void)timer;
    wlua_happened(slot, (struct wlua_event){
                       .kind = WLUA_CONN_TIMER, .object = slot->conn, .missed = missed});
}

static void on_call(void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_CALL});
}

static void on_conn_call(wsock_conn *conn, void *user)
{
    wlua_happened(user, (struct wlua_event){.kind = WLUA_CONN_CALL, .object = conn});
}

int wlua_tell(struct wlua_state *state, struct wbind_log *log)
{
    struct wbind_line *line = wbind_log_take(log);
    int count = 0;

    for (; line != NULL; line = wbind_line_free(line)) {
        wlua_happened(&state->of_log, (struct wlua_event){.kind = WLUA_LOG, .data = line});
        count++;
    }
    return count;
}

static void on_room_join(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    wlua_happened(user, (struct wlua_event){.kind = WLUA_ROOM_JOIN, .data = member});
}

static void on_room_leave(wsock_room *room, const wsock_member *member, void *user)
{
    (void)room;
    wlua_happened(user, (struct wlua_event){.kind = WLUA_ROOM_LEAVE, .data = member});
}

static void on_room_message(wsock_room *room, const wsock_room_message *message, void *user)
{
    (void)room;
    wlua_happened(user, (struct wlua_event){.kind = WLUA_ROOM_MESSAGE, .data = message});
}

/* ---- what run() asks for ---- */

static void push_close_info(lua_State *L, const wsock_close_info *info)
{
    lua_createtable(L, 0, 12);
    wlua_set_integer(L, "code", info->code);
    wlua_set_text(L, "reason", info->reason);
    wlua_set_text(L, "detail", info->detail);
    wlua_set_integer(L, "cause", info->cause);
    wlua_set_text(L, "cause_text", wsock_cause_text(info->cause));
    wlua_set_integer(L, "http_status", info->http_status);
    wlua_set_integer(L, "errno", info->sys_errno);
    wlua_set_integer(L, "began", info->began);
    wlua_set_integer(L, "tls_error", info->tls_error);
    wlua_set_integer(L, "tls_alert", info->tls_alert);
    wlua_set_boolean(L, "opened", info->opened != 0);
}

static void push_state_info(lua_State *L, const wsock_state_info *info)
{
    lua_createtable(L, 0, 4);
    wlua_set_integer(L, "state", info->state);
    wlua_set_integer(L, "attempt", info->attempt);
    wlua_set_seconds(L, "delay", info->delay_ms);
    if (info->why != NULL) {
        push_close_info(L, info->why);
        lua_setfield(L, -2, "why");
    }
}

static void push_member(lua_State *L, const wsock_member *member)
{
    lua_createtable(L, 0, 7);
    push_conn(L, member->conn, false);
    lua_setfield(L, -2, "conn");
    if (*member->identity != '\0')
        wlua_set_text(L, "identity", member->identity);
    wlua_set_bytes(L, "info", member->info, member->info_len);
    wlua_set_text(L, "reason", member->reason);
    wlua_set_integer(L, "how", member->how);
    wlua_set_boolean(L, "first", member->first);
    wlua_set_boolean(L, "last", member->last);
}

static int take_message(lua_State *L, const struct wlua_event *event, bool has_hooks)
{
    const struct wlua_slot *slot = wlua_adopted(event->object);

    if (!has_hooks || slot == NULL)
        return 0;
    if (slot->busy)
        wlua_push(L, slot->state, slot->state->function_refs[WLUA_BUSY]);
    else
        lua_rawgeti(L, -1, WLUA_MESSAGE);
    if (lua_isnil(L, -1))
        return 0;
    wlua_push(L, slot->state, slot->ref);
    lua_pushlstring(L, event->data, event->len);
    lua_pushboolean(L, event->flags == WSOCK_BINARY);
    return 4;
}

static int take_line(lua_State *L, const struct wbind_line *line)
{
    static const char *const levels[] = {
        [WSOCK_LOG_ERROR] = "error",
        [WSOCK_LOG_WARN] = "warn",
        [WSOCK_LOG_INFO] = "info",
        [WSOCK_LOG_DEBUG] = "debug",
    };

    lua_pushstring(L, levels[line->level]);
    lua_pushstring(L, line->subject);
    lua_pushstring(L, line->text);
    return 4;
}

/* What a function of wsock.lua gets for an event that is rarer, behind the hooks. */
static int push_rest(lua_State *L, const struct wlua_event *event)
{
    switch (event->kind) {
    case WLUA_OPEN:
        push_handle(L, event->object);
        push_carried(L, event->object);
        return 2;
    case WLUA_CLOSE:
        push_conn(L, event->object, true);
        push_close_info(L, event->data);
        return 2;
    case WLUA_ASK:
        return wlua_push_ask(L, event);
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
    case WLUA_CANCELLED:
    case WLUA_HTTP:
        push_request(L, event->object);
        lua_pushlightuserdata(L, event->object);
        return 2;
    case WLUA_STATE:
        push_state_info(L, event->data);
        return 1;
    case WLUA_CLUSTER:
        lua_pushinteger(L, event->flags);
        lua_pushstring(L, event->data);
        return 2;
    case WLUA_ANSWER:
        return wlua_push_answer(L, event);
    case WLUA_ROOM_JOIN:
    case WLUA_ROOM_LEAVE:
        push_member(L, event->data);
        return 1;
    case WLUA_ROOM_MESSAGE:
        wlua_push_room_message(L, event->data);
        return 1;
    default:
        lua_pushinteger(L, (lua_Integer)event->missed);
        return 1;
    }
}

/* Or nil, when nobody but us knows of them any more. */
static void push_hooks(lua_State *L, const struct wlua_slot *slot)
{
    wlua_push(L, slot->state, slot->ref);
    lua_rawgeti(L, -1, 1);
    lua_replace(L, -2);
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
        push_hooks(L, event->slot);
        return take_message(L, event, lua_istable(L, -1));
    }
    wlua_push(L, state, state->function_refs[event->kind]);
    if (event->kind == WLUA_LOG)
        return take_line(L, event->data);
    if (event->slot->is_hooks) {
        push_hooks(L, event->slot);
        has_hooks = lua_istable(L, -1);
    } else {
        wlua_push(L, state, event->slot->ref);
    }
    return has_hooks ? 2 + push_rest(L, event) : 0;
}

/* ---- registering ---- */

/* The table of hooks belongs to the server, endpoint or client, whose handlers refer to it
 * as a rule: if we held it as well, such a cycle would never go. */
struct wlua_slot *wlua_hooks_slot(lua_State *L, int index)
{
    struct wlua_state *state = wlua_state_of(L);
    struct wlua_slot *slot;

    luaL_checktype(L, index, LUA_TTABLE);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, 1);
    luaL_getmetatable(L, WEAK);
    lua_setmetatable(L, -2);
    slot = wlua_slot_new(L, state, lua_gettop(L));
    lua_pop(L, 1);
    if (slot == NULL) {
        luaL_error(L, "not enough memory"); /* does not return */
        return NULL;
    }
    slot->is_hooks = true;
    return slot;
}

int wlua_registered(lua_State *L, struct wlua_slot *slot, int r)
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
    struct wlua_slot *slot = wlua_hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

#define HOOK(KIND, of, object, name)                                            \
    if (kind == (KIND))                                                         \
        r = wsock_##of##_on_##name(object, on_##name, slot, wlua_slot_release)
    HOOK(WLUA_REQUEST, endpoint, endpoint, request);
    HOOK(WLUA_CANCELLED, endpoint, endpoint, request_cancelled);
    HOOK(WLUA_OPEN, endpoint, endpoint, open);
    HOOK(WLUA_MESSAGE, endpoint, endpoint, message);
    HOOK(WLUA_PART, endpoint, endpoint, part);
    HOOK(WLUA_PONG, endpoint, endpoint, pong);
    HOOK(WLUA_DRAIN, endpoint, endpoint, drain);
    HOOK(WLUA_CLOSE, endpoint, endpoint, close);
    return wlua_registered(L, slot, r);
}

static int hook_client(lua_State *L)
{
    wsock_client *client = wlua_check(L, 1, WLUA_client);
    const int64_t kind = wlua_integer(L, 3, 1, WLUA_EVENT_KINDS);
    struct wlua_slot *slot = wlua_hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

    HOOK(WLUA_OPEN, client, client, open);
    HOOK(WLUA_MESSAGE, client, client, message);
    HOOK(WLUA_PART, client, client, part);
    HOOK(WLUA_PONG, client, client, pong);
    HOOK(WLUA_DRAIN, client, client, drain);
    HOOK(WLUA_CLOSE, client, client, close);
    HOOK(WLUA_STATE, client, client, state);
    return wlua_registered(L, slot, r);
}

static int hook_room(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    const int64_t kind = wlua_integer(L, 3, 1, WLUA_EVENT_KINDS);
    struct wlua_slot *slot = wlua_hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

    if (kind == WLUA_ROOM_JOIN)
        r = wsock_room_on_join(room, on_room_join, slot, wlua_slot_release);
    if (kind == WLUA_ROOM_LEAVE)
        r = wsock_room_on_leave(room, on_room_leave, slot, wlua_slot_release);
    if (kind == WLUA_ROOM_MESSAGE)
        r = wsock_room_on_message(room, on_room_message, slot, wlua_slot_release);
    return wlua_registered(L, slot, r);
}

static int hook_server(lua_State *L)
{
    wsock_server *server = wlua_check(L, 1, WLUA_server);
    const int64_t kind = wlua_integer(L, 3, 1, WLUA_EVENT_KINDS);
    struct wlua_slot *slot = wlua_hooks_slot(L, 2);
    int r = WSOCK_EINVAL;

    HOOK(WLUA_HTTP, server, server, http);
    HOOK(WLUA_STOPPED, server, server, stopped);
    HOOK(WLUA_CLUSTER, server, server, cluster);
    return wlua_registered(L, slot, r);
#undef HOOK
}

static uint64_t milliseconds(lua_State *L, int index)
{
    const lua_Number seconds = luaL_checknumber(L, index);

    if (!(seconds >= 0 && seconds <= 1e9))
        luaL_argerror(L, index, "seconds out of range");
    return (uint64_t)(seconds * 1000 + 0.5);
}

/* timer(what, first, every, handle of a connection or nil): what is handed to the function
 * of timers, and keeps that connection. */
static int start_timer(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const uint64_t first_ms = milliseconds(L, 2), every_ms = milliseconds(L, 3);
    wsock_conn *conn = lua_isnoneornil(L, 4) ? NULL : wlua_check(L, 4, WLUA_conn);
    wsock_timer **out = wlua_new_handle(L, WLUA_timer);
    int r = wlua_start(state);
    struct wlua_slot *slot;

    if (r < 0)
        return wlua_fail(L, r);
    slot = wlua_slot_new(L, state, 1);
    if (slot == NULL)
        return wlua_fail(L, WSOCK_ENOMEM);
    slot->conn = conn;
    if (conn != NULL)
        r = wsock_conn_timer(conn, out, first_ms, every_ms, on_conn_timer, slot,
                             wlua_slot_release);
    else
        r = wsock_queue_timer(state->queue, out, first_ms, every_ms, on_timer, slot,
                              wlua_slot_release);
    if (r < 0) {
        wlua_slot_release(slot);
        return wlua_fail(L, r);
    }
    return 1;
}

/* post(what, handle of a connection or nil) */
static int post_call(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    wsock_conn *conn = lua_isnoneornil(L, 2) ? NULL : wlua_check(L, 2, WLUA_conn);
    struct wlua_slot *slot;
    int r = wlua_start(state);

    if (r < 0)
        return wlua_fail(L, r);
    luaL_checkany(L, 1);
    slot = wlua_slot_new(L, state, 1);
    if (slot == NULL)
        return wlua_fail(L, WSOCK_ENOMEM);
    if (conn != NULL)
        r = wsock_conn_post(conn, on_conn_call, slot, wlua_slot_release);
    else
        r = wsock_queue_post(state->queue, on_call, slot, wlua_slot_release);
    return wlua_registered(L, slot, r);
}

/* set_functions(run, {[kind] = function}) */
static int set_functions(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);

    luaL_newmetatable(L, WEAK);
    wlua_set_text(L, "__mode", "v");
    for (int i = WLUA_PART; i < WLUA_FUNCTIONS; i++) {
        lua_rawgeti(L, 2, i);
        state->function_refs[i] = wlua_ref(L, state);
    }
    lua_settop(L, 1);
    state->run_ref = wlua_ref(L, state);
    lua_pushcfunction(L, replace);
    state->replace_ref = wlua_ref(L, state);
    lua_pushcfunction(L, replace_spent);
    state->replace_spent_ref = wlua_ref(L, state);
    return 0;
}

const luaL_Reg wlua_event_functions[] = {
    {"take", take},
    {"set_functions", set_functions},
    {"hook_server", hook_server},
    {"hook_endpoint", hook_endpoint},
    {"hook_client", hook_client},
    {"hook_room", hook_room},
    {"timer", start_timer},
    {"post", post_call},
    {NULL, NULL},
};
