/* SPDX-License-Identifier: MIT */
/* A host of a script whose memory fails where it says: Lua's own, and the library's. At the
 * end the state is closed, and the library holds nothing and has no thread any more, and the
 * process no descriptor that it had not before. The script has:
 *     fail_at(n, count, of)  from now on, count allocations behind the next n fail: "lua",
 *                            or "library", on this thread only
 *     stop_failing()         whether one did */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <wsock/error.h>
#include <wsock/memory.h>

#include "process.h"

static struct {
    long before, count; /* how many pass, and fail behind them */
    bool of_library, failed;
} plan;
static pthread_t script_thread;
static atomic_long blocks;
static lua_Alloc allocate_for_lua;

static bool fails(void)
{
    if (plan.count == 0)
        return false;
    if (plan.before > 0) {
        plan.before--;
        return false;
    }
    plan.count--;
    plan.failed = true;
    return true;
}

static void *lua_memory(void *user, void *block, size_t old, size_t size)
{
    const bool grows = size > 0 && (block == NULL || size > old);

    if (grows && !plan.of_library && fails())
        return NULL;
    return allocate_for_lua(user, block, old, size);
}

static bool library_fails(void)
{
    return pthread_equal(pthread_self(), script_thread) && plan.of_library && fails();
}

static void *library_malloc(size_t size)
{
    void *block = library_fails() ? NULL : malloc(size);

    if (block != NULL)
        atomic_fetch_add(&blocks, 1);
    return block;
}

static void *library_realloc(void *block, size_t size)
{
    void *grown = library_fails() ? NULL : realloc(block, size);

    if (block == NULL && grown != NULL)
        atomic_fetch_add(&blocks, 1);
    return grown;
}

static void library_free(void *block)
{
    if (block != NULL)
        atomic_fetch_sub(&blocks, 1);
    free(block);
}

static int fail_at(lua_State *L)
{
    const long before = (long)luaL_checkinteger(L, 1), count = (long)luaL_checkinteger(L, 2);

    plan.of_library = strcmp(luaL_checkstring(L, 3), "library") == 0;
    lua_settop(L, 0);
    plan.failed = false;
    plan.before = before;
    plan.count = count;
    return 0;
}

static int stop_failing(lua_State *L)
{
    plan.count = 0;
    lua_pushboolean(L, plan.failed);
    return 1;
}

static int run(const char *script)
{
    lua_State *L = luaL_newstate();
    void *user;
    int failed;

    allocate_for_lua = lua_getallocf(L, &user);
    lua_setallocf(L, lua_memory, user);
    luaL_openlibs(L);
    lua_register(L, "fail_at", fail_at);
    lua_register(L, "stop_failing", stop_failing);
    failed = luaL_loadfile(L, script) != 0 || lua_pcall(L, 0, 0, 0) != 0;
    plan.count = 0;
    if (failed)
        fprintf(stderr, "%s: %s\n", script, lua_tostring(L, -1));
    lua_close(L);
    return failed;
}

int main(int argc, char **argv)
{
    const int fds = process_fds();
    int failed = argc < 2;

    script_thread = pthread_self();
    failed = failed || wsock_set_allocator(library_malloc, library_realloc, library_free) < 0;
    failed = failed || run(argv[1]);
    if (!process_threads_end() || process_fds() != fds) {
        fprintf(stderr, "%d threads are left, and %d descriptors became %d\n",
                process_threads(), fds, process_fds());
        failed = 1;
    }
    if (atomic_load(&blocks) != 0) {
        fprintf(stderr, "the library still holds %ld blocks\n", atomic_load(&blocks));
        failed = 1;
    }
    printf("%s\n", failed ? "failed" : "ok");
    return failed;
}
