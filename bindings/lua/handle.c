/* SPDX-License-Identifier: MIT */
/* Handles, and arguments: whatever a script passes ends in an object that lives, or in a
 * Lua error. A handle is a userdata of its own kind, told by its metatable, so that no
 * other module's userdata is taken for one; what was made before a fork() is refused
 * after it, since its locks and threads stayed behind.
 *
 * That userdata is only a box. What it holds is another one, which the state refers to
 * until the finalizer of the box has run: Lua runs none for which it finds no memory
 * (that of a C function needs room on the stack), and frees the box all the same. Then
 * the state still knows what was in it, and drops that at its end. */
#include "core.h"

#include <string.h>

unsigned wlua_process;

typedef void (*drop_fn)(void *object);

#define DROP(type)                        \
    static void drop_##type(void *object) \
    {                                     \
        wsock_##type##_unref(object);     \
    }
DROP(runtime)
DROP(endpoint)
DROP(request)
DROP(conn)
DROP(client)
DROP(message)
DROP(room)
DROP(queue)
DROP(timer)
DROP(jwt_key)
DROP(jwt)
DROP(ask)

/* The one handle of a server is its creator's: nobody else could stop it. */
static void drop_server(void *object)
{
    wsock_server_free(object);
}

static const struct {
    const char *name;
    drop_fn drop;
} kinds[WLUA_KINDS] = {
#define KIND(type) [WLUA_##type] = {"wsock." #type, drop_##type}
    KIND(runtime),  KIND(server),
    KIND(endpoint), KIND(request),
    KIND(conn),     KIND(client),
    KIND(message),  KIND(room),
    KIND(queue),    KIND(timer),
    KIND(jwt_key),  KIND(jwt),
    KIND(ask),      [WLUA_members] = {"wsock.members", wlua_drop_members},
};

static void release(struct wlua_handle *handle)
{
    void *object = handle->object;

    handle->object = NULL;
    if (object != NULL && handle->process == wlua_process)
        kinds[handle->kind].drop(object);
}

static void drop(struct wlua_handle *handle)
{
    *handle->link = handle->next;
    if (handle->next != NULL)
        handle->next->link = handle->link;
    handle->link = NULL;
    release(handle);
}

void wlua_drop_handle(lua_State *L, int index)
{
    struct wlua_handle **box = lua_touserdata(L, index), *handle = *box;

    *box = NULL;
    if (handle == NULL || handle->link == NULL)
        return;
    drop(handle);
    wlua_unref(handle->state, handle->ref);
}

static int finalize(lua_State *L)
{
    wlua_drop_handle(L, 1);
    return 0;
}

/* Their boxes may still be looked into, so they stay until Lua frees all that there is.
 */
void wlua_drop_handles(struct wlua_handle **handles)
{
    while (*handles != NULL)
        drop(*handles);
}

void wlua_drop_object(struct wlua_handle *handle, const void *object)
{
    for (; handle != NULL; handle = handle->next)
        if (handle->object == object)
            release(handle);
}

static int handle_text(lua_State *L)
{
    struct wlua_handle *const *box = lua_touserdata(L, 1);

    if (*box != NULL)
        lua_pushfstring(L, "%s (%p)", kinds[(*box)->kind].name, (*box)->object);
    else
        lua_pushliteral(L, "wsock (finalized)");
    return 1;
}

void wlua_open_handles(lua_State *L)
{
    for (int i = 0; i < WLUA_KINDS; i++) {
        luaL_newmetatable(L, kinds[i].name);
        lua_pushcfunction(L, finalize);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, handle_text);
        lua_setfield(L, -2, "__tostring");
        /* Nobody reaches __gc through getmetatable(). */
        lua_pushstring(L, kinds[i].name);
        lua_setfield(L, -2, "__metatable");
        lua_pop(L, 1);
    }
    luaL_getmetatable(L, kinds[WLUA_conn].name);
}

void *wlua_new_handle(lua_State *L, enum wlua_kind kind)
{
    struct wlua_state *state = wlua_state_found(L);
    struct wlua_handle **box = lua_newuserdata(L, sizeof *box), *handle;

    *box = NULL;
    luaL_getmetatable(L, kinds[kind].name);
    lua_setmetatable(L, -2);
    handle = lua_newuserdata(L, sizeof *handle);
    *handle = (struct wlua_handle){.kind = kind, .process = wlua_process, .state = state};
    handle->ref = wlua_ref(L, state);
    handle->next = state->handles;
    handle->link = &state->handles;
    *box = handle;
    if (handle->next != NULL)
        handle->next->link = &handle->next;
    state->handles = handle;
    return &handle->object;
}

bool wlua_is(lua_State *L, int index, enum wlua_kind kind)
{
    bool same;

    if (!lua_isuserdata(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, kinds[kind].name);
    same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

void *wlua_check(lua_State *L, int index, enum wlua_kind kind)
{
    struct wlua_handle *const *box = luaL_checkudata(L, index, kinds[kind].name);
    const struct wlua_handle *handle = *box;

    if (handle == NULL)
        luaL_error(L, "%s is finalized", kinds[kind].name);
    if (handle->process != wlua_process)
        luaL_error(L, "%s belongs to the process that forked", kinds[kind].name);
    if (handle->object == NULL)
        luaL_error(L, "%s has no object any more", kinds[kind].name);
    return handle->object;
}

void *wlua_held(lua_State *L, int index, enum wlua_kind kind)
{
    struct wlua_handle *const *box = luaL_checkudata(L, index, kinds[kind].name);

    return *box != NULL && (*box)->process == wlua_process ? (*box)->object : NULL;
}

int wlua_fail(lua_State *L, int code)
{
    lua_pushnil(L);
    lua_pushstring(L, wsock_strerror(code));
    lua_pushinteger(L, code);
    return 3;
}

const char *wlua_text(lua_State *L, int index)
{
    size_t len;
    const char *text;

    if (lua_isnoneornil(L, index))
        return NULL;
    text = luaL_checklstring(L, index, &len);
    if (strlen(text) != len)
        luaL_argerror(L, index, "text holds a NUL");
    return text;
}

const char *wlua_bytes(lua_State *L, int index, size_t *len)
{
    /* A number is nearly always a mistake, and its text differs between versions of Lua.
     */
    luaL_checktype(L, index, LUA_TSTRING);
    return lua_tolstring(L, index, len);
}

wsock_message *wlua_message(lua_State *L, int index)
{
    void *message = NULL;

    if (!lua_istable(L, index))
        return NULL;
    lua_rawgeti(L, index, 1);
    if (wlua_is(L, -1, WLUA_message))
        message = wlua_check(L, lua_gettop(L), WLUA_message);
    lua_pop(L, 1);
    return message;
}

int64_t wlua_integer(lua_State *L, int index, int64_t min, int64_t max)
{
    const lua_Number number = luaL_checknumber(L, index);

    /* Written so that NaN fails, and before the conversion, which is undefined beyond. */
    if (!(number >= (lua_Number)min && number <= (lua_Number)max) ||
        number >= 9223372036854775808.0)
        luaL_argerror(L, index, "number out of range");
    if ((lua_Number)(int64_t)number != number)
        luaL_argerror(L, index, "whole number expected");
    return (int64_t)number;
}

void wlua_set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

void wlua_set_integer(lua_State *L, const char *name, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

void wlua_set_boolean(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

void wlua_set_seconds(lua_State *L, const char *name, int64_t value_ms)
{
    lua_pushnumber(L, (lua_Number)value_ms / 1000);
    lua_setfield(L, -2, name);
}

void wlua_set_bytes(lua_State *L, const char *name, const void *data, size_t len)
{
    if (data == NULL)
        return;
    lua_pushlstring(L, data, len);
    lua_setfield(L, -2, name);
}
