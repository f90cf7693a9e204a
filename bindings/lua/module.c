/* SPDX-License-Identifier: MIT */
/* luaopen_wsock_core(): what SWIG made of the headers, and the functions written by hand,
 * in one table. It is for wsock.lua alone; scripts require "wsock". */
#include "core.h"

int luaopen_wsock_functions(lua_State *L);
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_wsock_core(lua_State *L);

/* SWIG keeps one table of types for the process; states may be opened on many threads. */
static int open_functions(lua_State *L)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int status;

    lua_pushcfunction(L, luaopen_wsock_functions);
    pthread_mutex_lock(&lock);
    status = lua_pcall(L, 0, 1, 0);
    pthread_mutex_unlock(&lock);
    return status == 0 ? 1 : lua_error(L);
}

/* Into the table below the two upvalues on top of the stack. */
static void add(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name != NULL; functions++) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, functions->func, 2);
        lua_setfield(L, -4, functions->name);
    }
}

int luaopen_wsock_core(lua_State *L)
{
    lua_settop(L, 0);
    /* SWIG makes two global functions, which are of no use here: leave the globals as
     * they were. */
    lua_getglobal(L, "swig_type");
    lua_getglobal(L, "swig_equals");
    open_functions(L);
    lua_insert(L, 1);
    lua_setglobal(L, "swig_equals");
    lua_setglobal(L, "swig_type");
    wlua_open_state(L);
    wlua_open_handles(L);
    add(L, wlua_state_functions);
    add(L, wlua_event_functions);
    add(L, wlua_hot_functions);
    add(L, wlua_room_functions);
    add(L, wlua_answer_functions);
    add(L, wlua_ask_functions);
    add(L, wlua_jwt_functions);
    lua_settop(L, 1);
    return 1;
}
