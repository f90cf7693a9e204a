/* SPDX-License-Identifier: MIT */
/* The state of one lua_State: its runtime and queue, and what the library points to in
 * it. The library calls free functions on any thread, where Lua must not be entered, so a
 * slot that is let go waits in a list until Lua is there again; and it may let go of
 * slots when the lua_State is long gone, so this state is counted, and outlives it.
 *
 * The end (end_all(), by __gc of the box at the latest): the queue is closed first, and
 * from then on no handler can run; then workers are given END_MS to close what is open.
 */
#include "core.h"

#include <stdlib.h>

enum { END_MS = 1000 };

#define STATE_KEY "wsock.box"
#define STORE_KEY "wsock.store"

/* ---- references ---- */

/* The registry will not do: where it grows while memory fails, Lua 5.1 and LuaJIT lose what
 * moves from a table's hash part to its array. This table has an array alone. Free places
 * in it hold the number of the next one. */
enum { REFS = 1 };

int wlua_ref(lua_State *L, struct wlua_state *state)
{
    int ref = state->store_free, next = 0;

    lua_pushvalue(state->store, REFS);
    lua_xmove(state->store, L, 1);
    lua_insert(L, -2);
    if (ref != 0) {
        lua_rawgeti(L, -2, ref);
        next = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
    } else {
        ref = state->store_len + 1;
    }
    lua_rawseti(L, -2, ref); /* may raise an error: nothing has changed then */
    lua_pop(L, 1);
    state->store_free = next;
    if (ref > state->store_len)
        state->store_len = ref;
    return ref;
}

void wlua_unref(struct wlua_state *state, int ref)
{
    if (ref == 0)
        return;
    lua_pushinteger(state->store, state->store_free);
    lua_rawseti(state->store, REFS, ref);
    state->store_free = ref;
}

void wlua_push(lua_State *L, const struct wlua_state *state, int ref)
{
    lua_rawgeti(state->store, REFS, ref);
    lua_xmove(state->store, L, 1);
}

static void open_store(lua_State *L, struct wlua_state *state)
{
    state->store = lua_newthread(L);
    lua_setfield(L, LUA_REGISTRYINDEX, STORE_KEY);
    lua_newtable(L);
    lua_xmove(L, state->store, 1);
}

/* ---- slots ---- */

static void drop_state(struct wlua_state *state)
{
    if (atomic_fetch_sub(&state->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&state->lock);
    free(state);
}

static void free_slot(struct wlua_slot *slot)
{
    struct wlua_state *state = slot->state;

    free(slot);
    drop_state(state);
}

/* For what the caller has found a place for. */
static struct wlua_slot *slot_of(struct wlua_state *state, int ref)
{
    struct wlua_slot *slot = malloc(sizeof *slot);

    if (slot == NULL)
        return NULL;
    atomic_fetch_add(&state->refs, 1);
    *slot = (struct wlua_slot){.state = state, .ref = ref};
    return slot;
}

struct wlua_slot *wlua_slot_new(lua_State *L, struct wlua_state *state, int index)
{
    struct wlua_slot *slot;
    int ref;

    lua_pushvalue(L, index);
    ref = wlua_ref(L, state);
    slot = slot_of(state, ref);
    if (slot == NULL)
        wlua_unref(state, ref);
    return slot;
}

struct wlua_slot *wlua_adopted(const wsock_conn *conn)
{
    struct wlua_slot *slot = wsock_conn_get_user(conn);

    return slot != NULL && slot->adopted ? slot : NULL;
}

void wlua_slot_release(void *user)
{
    struct wlua_slot *slot = user;
    struct wlua_state *state = slot->state;
    bool closed;

    pthread_mutex_lock(&state->lock);
    closed = state->closed;
    if (!closed) {
        slot->next = state->dead;
        state->dead = slot;
    }
    pthread_mutex_unlock(&state->lock);
    if (closed)
        free_slot(slot);
}

static struct wlua_slot *take_dead(struct wlua_state *state, bool closed)
{
    struct wlua_slot *dead;

    pthread_mutex_lock(&state->lock);
    dead = state->dead;
    state->dead = NULL;
    state->closed = closed;
    pthread_mutex_unlock(&state->lock);
    return dead;
}

void wlua_bury(struct wlua_state *state)
{
    struct wlua_slot *slot = take_dead(state, false), *next;

    for (; slot != NULL; slot = next) {
        next = slot->next;
        wlua_unref(state, slot->ref);
        free_slot(slot);
    }
}

/* ---- fork ---- */

static void count_fork(void)
{
    wlua_process++;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

/* ---- the runtime ---- */

static int open_log(struct wlua_state *state)
{
    struct wbind_log *log;
    int r = wbind_log_open(&log, state->runtime);

    if (r < 0)
        return r;
    r = wbind_log_join(log, state->queue);
    if (r < 0)
        wbind_log_close(log);
    else
        state->log = log;
    return r;
}

/* As in a new process. A parent's threads, and what they held, did not come along: leave
 * it all. */
static void begin_anew(struct wlua_state *state)
{
    state->runtime = NULL;
    state->queue = NULL;
    state->log = NULL;
    state->kept = NULL;
    state->answers = NULL;
    state->for_tests = false;
    state->dispatching = false;
    state->process = wlua_process;
}

int wlua_start(struct wlua_state *state)
{
    int r = 0;

    if (state->process != wlua_process)
        begin_anew(state);
    if (state->runtime == NULL)
        r = wsock_runtime_new(&state->runtime);
    if (r == 0 && state->queue == NULL)
        r = wsock_runtime_queue(state->runtime, &state->queue);
    if (r == 0 && state->log == NULL)
        r = open_log(state);
    return r;
}

static void end_kept(struct wlua_kept *kept)
{
    if (kept->kind == WLUA_server) {
        int64_t limit_ms = 0;

        if (wsock_server_get_int64(kept->object, "stop_timeout", &limit_ms) == 0 &&
            limit_ms > END_MS)
            wsock_server_set_int64(kept->object, "stop_timeout", END_MS);
        wsock_server_unref(kept->object);
    } else {
        wsock_client_set_int64(kept->object, "close_timeout", END_MS);
        wsock_client_stop(kept->object, 1001, NULL);
        wsock_client_unref(kept->object);
    }
    free(kept);
}

/* The same, but for what waits in the log, and is the caller's now: NULL when there was no
 * runtime of this process. */
static struct wbind_log *end(struct wlua_state *state)
{
    wsock_runtime *runtime = state->runtime;
    wsock_queue *queue = state->queue;
    struct wbind_log *log = state->log;
    struct wlua_kept *next;

    if (state->process != wlua_process)
        return NULL;
    state->runtime = NULL;
    state->queue = NULL;
    state->log = NULL;
    state->for_tests = false;
    if (log != NULL)
        wbind_log_leave(log, queue);
    wsock_queue_close(queue);
    wlua_answers_drop(state);
    for (; state->kept != NULL; state->kept = next) {
        next = state->kept->next;
        end_kept(state->kept);
    }
    /* Inside a handler (os.exit(0, true) closes the state there) nobody can wait. */
    if (runtime != NULL && wsock_runtime_free(runtime) == WSOCK_EDEADLK) {
        wsock_runtime_stop(runtime);
        wsock_runtime_unref(runtime);
    }
    wsock_queue_unref(queue);
    return log;
}

static void end_all(struct wlua_state *state)
{
    struct wbind_log *log = end(state);

    if (log != NULL)
        wbind_log_close(log);
}

static int close_state(lua_State *L)
{
    struct wlua_state **box = lua_touserdata(L, 1);
    struct wlua_state *state = *box;
    struct wlua_slot *slot, *next;

    if (state == NULL)
        return 0;
    *box = NULL;
    wlua_drop_handles(&state->handles);
    end_all(state);
    for (slot = take_dead(state, true); slot != NULL; slot = next) {
        next = slot->next;
        free_slot(slot);
    }
    drop_state(state);
    return 0;
}

/* ---- the box ---- */

static struct wlua_state *state_in(lua_State *L, struct wlua_state **box)
{
    if (*box == NULL)
        luaL_error(L, "wsock: the Lua state is closing");
    return *box;
}

struct wlua_state *wlua_state_of(lua_State *L)
{
    return state_in(L, lua_touserdata(L, lua_upvalueindex(1)));
}

struct wlua_state *wlua_state_found(lua_State *L)
{
    struct wlua_state **box;

    lua_getfield(L, LUA_REGISTRYINDEX, STATE_KEY);
    box = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return state_in(L, box);
}

void wlua_open_state(lua_State *L)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct wlua_state **box = lua_newuserdata(L, sizeof *box);
    struct wlua_state *state;

    *box = NULL;
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, STATE_KEY);
    luaL_newmetatable(L, "wsock.state");
    lua_pushcfunction(L, close_state);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    pthread_once(&once, watch_forks);
    state = calloc(1, sizeof *state);
    if (state == NULL) {
        luaL_error(L, "not enough memory"); /* does not return */
        return;
    }
    *box = state;
    /* LuaJIT takes memory for the first such pointer into a part of the address space, and
     * where an event comes in, nothing may raise an error. */
    lua_pushlightuserdata(L, state);
    lua_pop(L, 1);
    atomic_init(&state->refs, 1);
    pthread_mutex_init(&state->lock, NULL);
    state->process = wlua_process;
    state->of_log.state = state;
    open_store(L, state);
    state->co = lua_newthread(L);
    state->co_ref = wlua_ref(L, state);
}

/* ---- functions for wsock.lua ---- */

static int get_runtime(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const int r = wlua_start(state);
    wsock_runtime **runtime;
    wsock_queue **queue;

    if (r < 0)
        return wlua_fail(L, r);
    runtime = wlua_new_handle(L, WLUA_runtime);
    *runtime = wsock_runtime_ref(state->runtime);
    queue = wlua_new_handle(L, WLUA_queue);
    *queue = wsock_queue_ref(state->queue);
    return 2;
}

/* test_runtime(seed): in place of the one that would be made when first needed. */
static int test_runtime(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    const uint64_t seed = (uint64_t)wlua_integer(L, 1, 0, INT64_MAX);
    int r = WSOCK_EBUSY;

    if (state->process != wlua_process || state->runtime == NULL) {
        wsock_runtime *made = NULL;

        r = wsock_testing_new(&made, seed);
        if (r == 0) {
            begin_anew(state);
            state->runtime = made;
            state->for_tests = true;
        }
    }
    if (r < 0)
        return wlua_fail(L, r);
    lua_pushboolean(L, 1);
    return 1;
}

static int is_for_tests(lua_State *L)
{
    const struct wlua_state *state = wlua_state_of(L);

    lua_pushboolean(L, state->for_tests && state->process == wlua_process);
    return 1;
}

static int end_runtime(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    struct wbind_log *log;

    if (state->dispatching && state->process == wlua_process)
        return wlua_fail(L, WSOCK_EDEADLK);
    log = end(state);
    if (log != NULL) {
        luaL_checkstack(L, 8, NULL);
        state->L = L;
        state->dispatching = true;
        wlua_tell(state, log);
        state->dispatching = false;
        state->L = NULL;
        wbind_log_close(log);
    }
    wlua_bury(state);
    lua_pushboolean(L, 1);
    return 1;
}

static void *kept_object(lua_State *L, enum wlua_kind *kind)
{
    *kind = wlua_is(L, 1, WLUA_client) ? WLUA_client : WLUA_server;
    return wlua_check(L, 1, *kind);
}

static int keep(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    enum wlua_kind kind;
    void *object = kept_object(L, &kind);
    struct wlua_kept *kept = malloc(sizeof *kept);

    if (kept == NULL)
        return luaL_error(L, "not enough memory");
    if (kind == WLUA_server)
        wsock_server_ref(object);
    else
        wsock_client_ref(object);
    *kept = (struct wlua_kept){.next = state->kept, .object = object, .kind = kind};
    state->kept = kept;
    return 0;
}

static int let_go(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);
    enum wlua_kind kind;
    void *object = kept_object(L, &kind);
    struct wlua_kept **link = &state->kept, *kept;

    while ((kept = *link) != NULL && kept->object != object)
        link = &kept->next;
    if (kept == NULL)
        return 0;
    *link = kept->next;
    if (kind == WLUA_server)
        wsock_server_unref(object);
    else
        wsock_client_unref(object);
    free(kept);
    return 0;
}

const luaL_Reg wlua_state_functions[] = {
    {"runtime", get_runtime},
    {"test_runtime", test_runtime},
    {"is_for_tests", is_for_tests},
    {"end_runtime", end_runtime},
    {"keep", keep},
    {"let_go", let_go},
    {NULL, NULL},
};
