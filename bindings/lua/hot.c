/* SPDX-License-Identifier: MIT */
/* What is called often: dispatching, sending, broadcasting; and what hangs objects of Lua
 * on connections. The others come from SWIG. */
#include "core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Handlers at a time between two looks at the clock. */
enum { STEP = 64, MANY = 1024 };

/* ---- time ---- */

static double now(const struct wlua_state *state)
{
    struct timespec t;

    if (state->for_tests)
        return (double)wsock_testing_now_ms(state->runtime) / 1e3;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int push_now(lua_State *L)
{
    lua_pushnumber(L, now(wlua_state_of(L)));
    return 1;
}

/* A clock of a test's goes by milliseconds, the last of which it takes whole, and stands
 * while handlers wait. */
static void let_pass(struct wlua_state *state, double until)
{
    const double left_ms = (until - now(state)) * 1e3;

    if (left_ms > 1e-6)
        wsock_testing_wait(state->runtime, (uint64_t)(left_ms + 1 - 1e-6));
}

static void sleep_until(struct wlua_state *state, double until)
{
    struct timespec t = {.tv_sec = (time_t)until};

    if (state->for_tests) {
        let_pass(state, until);
        return;
    }
    t.tv_nsec = (long)((until - (double)t.tv_sec) * 1e9);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* ---- dispatching ---- */

static int enter(lua_State *L, struct wlua_state *state)
{
    const int r = wlua_start(state);

    if (r < 0)
        return r;
    if (state->dispatching)
        return WSOCK_EBUSY;
    luaL_checkstack(L, 8, NULL);
    wlua_bury(state);
    state->L = L;
    state->dispatching = true;
    return 0;
}

static void leave(struct wlua_state *state)
{
    state->dispatching = false;
    state->L = NULL;
}

/* dispatch(max_events, timeout_ms) */
static int dispatch(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const size_t max = (size_t)wlua_integer(L, 1, 0, INT32_MAX);
    const int64_t timeout_ms = wlua_integer(L, 2, -1, INT32_MAX);
    int r = enter(L, state);

    if (r == 0) {
        r = wsock_queue_dispatch(state->queue, max, timeout_ms);
        r = r < 0 ? r : r + wlua_tell(state, state->log);
        leave(state);
    }
    if (r < 0)
        return wlua_fail(L, r);
    lua_pushinteger(L, r);
    return 1;
}

/* Handlers until the moment comes, at most max of them; then the rest of the time passes.
 * When the moment was before, one round still runs: a host that is always late would else
 * never hear of its connections. */
static int dispatch_until(struct wlua_state *state, double until, int64_t max)
{
    int64_t total = 0, lines = 0;
    double left = until - now(state);
    int r;

    do {
        const int64_t room = max - total;
        const int64_t step = left > 0 ? STEP : MANY;

        if (room == 0) {
            sleep_until(state, until);
            break;
        }
        /* Whole milliseconds only; the last one passes without waiting for events. */
        r = wsock_queue_dispatch(state->queue, (size_t)(step < room ? step : room),
                                 left > 0 ? (int64_t)(left * 1e3) : 0);
        if (r < 0)
            return r;
        total += r;
        lines += wlua_tell(state, state->log);
        left = until - now(state);
        if (r == 0 && left > 0 && left < 1e-3) {
            sleep_until(state, until);
            left = 0;
        }
    } while (left > 0);
    return (int)(total + lines);
}

/* tick_until(moment, max_events or nil) */
static int tick_until(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const double until = luaL_checknumber(L, 1);
    const int64_t max = lua_isnoneornil(L, 2) ? INT32_MAX : wlua_integer(L, 2, 0, INT32_MAX);
    int r;

    if (!(until <= now(state) + 1e9))
        return luaL_argerror(L, 1, "no such moment");
    r = enter(L, state);
    if (r == 0) {
        r = dispatch_until(state, until, max);
        leave(state);
    }
    if (r < 0)
        return wlua_fail(L, r);
    lua_pushinteger(L, r);
    lua_pushnumber(L, now(state) - until);
    return 2;
}

/* ---- objects of Lua on connections ---- */

/* The handle of an object of wsock.lua, its field 1; upvalue 2 is the metatable of such
 * handles, which is quicker than to look it up by name. */
static wsock_conn *conn_of(lua_State *L, int index)
{
    struct wlua_handle *const *box;

    if (lua_istable(L, index)) {
        lua_rawgeti(L, index, 1);
        box = lua_touserdata(L, -1);
        if (box != NULL && lua_getmetatable(L, -1)) {
            const bool same = lua_rawequal(L, -1, lua_upvalueindex(2));

            lua_pop(L, 2);
            if (same && *box != NULL && (*box)->process == wlua_process)
                return (*box)->object;
        }
    }
    luaL_argerror(L, index, "connection expected (of this process)");
    return NULL;
}

/* adopt(handle, object): what the connection's events come with. */
static int adopt(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    wsock_conn *conn = wlua_check(L, 1, WLUA_conn);
    struct wlua_slot *slot = wsock_conn_get_user(conn);

    luaL_checkany(L, 2);
    if (slot != NULL) {
        int ref;

        lua_pushvalue(L, 2);
        ref = wlua_ref(L, state);
        wlua_unref(state, slot->ref);
        slot->ref = ref;
        slot->adopted = true;
        return 0;
    }
    slot = wlua_slot_new(L, state, 2);
    if (slot == NULL)
        return luaL_error(L, "not enough memory");
    slot->adopted = true;
    wsock_conn_set_user(conn, slot, wlua_slot_release);
    return 0;
}

/* carry(request, object): what the connection's on_open comes with. */
static int carry(lua_State *L)
{
    wsock_request *request = wlua_check(L, 1, WLUA_request);
    struct wlua_slot *slot = wlua_slot_new(L, wlua_state_of(L), 2);

    if (slot == NULL)
        return luaL_error(L, "not enough memory");
    wsock_request_set_user(request, slot, wlua_slot_release);
    return 0;
}

/* release(handle): no more events will come. */
static int release(lua_State *L)
{
    struct wlua_slot *slot = wsock_conn_get_user(wlua_check(L, 1, WLUA_conn));

    if (slot != NULL) {
        wlua_unref(slot->state, slot->ref);
        slot->ref = 0;
    }
    return 0;
}

/* ready(handle): messages come directly again. */
static int ready(lua_State *L)
{
    struct wlua_slot *slot = wsock_conn_get_user(wlua_check(L, 1, WLUA_conn));

    if (slot != NULL)
        slot->busy = false;
    return 0;
}

/* ---- sending ---- */

static int sent(lua_State *L, int r)
{
    if (r < 0) {
        lua_pushnil(L);
        lua_pushstring(L, r == WSOCK_EAGAIN ? "backlog full" : wsock_strerror(r));
        lua_pushinteger(L, r);
        return 3;
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int send_as(lua_State *L, int type)
{
    wsock_conn *conn = conn_of(L, 1);
    wsock_message *message = wlua_message(L, 2);
    int r;

    if (message != NULL) {
        r = wsock_conn_send_message(conn, message);
    } else {
        size_t len;
        const char *data = wlua_bytes(L, 2, &len);

        r = wsock_conn_send(conn, type, data, len);
    }
    if (r == WSOCK_EAGAIN) { /* for conn:drained() */
        lua_pushboolean(L, 1);
        lua_setfield(L, 1, "_full");
    }
    return sent(L, r);
}

static int send_text(lua_State *L)
{
    return send_as(L, WSOCK_TEXT);
}

static int send_binary(lua_State *L)
{
    return send_as(L, WSOCK_BINARY);
}

/* The room of an object of wsock.lua, argument 1 of so many. */
static wsock_room *room_of(lua_State *L, int arguments)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, arguments);
    lua_rawgeti(L, 1, 1);
    return wlua_check(L, arguments + 1, WLUA_room);
}

/* How many it is for; nobody got it where a worker is too far behind. */
static int broadcasted(lua_State *L, int r)
{
    if (r < 0 && r != WSOCK_EAGAIN)
        return wlua_fail(L, r);
    lua_pushinteger(L, r < 0 ? 0 : r);
    return 1;
}

static int broadcast_as(lua_State *L, int type)
{
    wsock_room *room = room_of(L, 3);
    wsock_conn *except = lua_isnil(L, 3) ? NULL : conn_of(L, 3);
    wsock_message *message = wlua_message(L, 2);
    size_t len;
    const char *data;

    if (message != NULL)
        return broadcasted(L, wsock_room_broadcast_message(room, except, message));
    data = wlua_bytes(L, 2, &len);
    return broadcasted(L, wsock_room_broadcast_except(room, except, type, data, len));
}

static int broadcast_text(lua_State *L)
{
    return broadcast_as(L, WSOCK_TEXT);
}

static int broadcast_binary(lua_State *L)
{
    return broadcast_as(L, WSOCK_BINARY);
}

const luaL_Reg wlua_hot_functions[] = {
    {"now", push_now},
    {"dispatch", dispatch},
    {"tick_until", tick_until},
    {"adopt", adopt},
    {"carry", carry},
    {"release", release},
    {"ready", ready},
    {"send", send_text},
    {"send_binary", send_binary},
    {"broadcast", broadcast_text},
    {"broadcast_binary", broadcast_binary},
    {NULL, NULL},
};
