/* SPDX-License-Identifier: MIT */
/* A host of Lua: runs a script in a state of its own, three times, and closes the state
 * whatever the script has left running. Behind each, the library has no thread any more,
 * and the process as many descriptors as before. The script has the functions fork(fn),
 * which answers the exit status of a child that calls fn and closes its state, and
 * threads(), those of the library. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "process.h"

enum { ROUNDS = 3, CLOSING_S = 4 };

static int push_threads(lua_State *L)
{
    lua_pushinteger(L, process_threads());
    return 1;
}

static int fork_and_call(lua_State *L)
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        alarm(20); /* a child that hangs fails */
        lua_settop(L, 1);
        status = lua_pcall(L, 0, 0, 0);
        if (status != 0)
            fprintf(stderr, "child: %s\n", lua_tostring(L, -1));
        lua_close(L);
        _exit(status != 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return luaL_error(L, "cannot fork");
    lua_pushinteger(L, status);
    return 1;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(const char *script)
{
    lua_State *L = luaL_newstate();
    double begun;
    int failed;

    luaL_openlibs(L);
    lua_register(L, "fork", fork_and_call);
    lua_register(L, "threads", push_threads);
    failed = luaL_loadfile(L, script) != 0 || lua_pcall(L, 0, 0, 0) != 0;
    if (failed)
        fprintf(stderr, "%s: %s\n", script, lua_tostring(L, -1));
    begun = now();
    lua_close(L);
    if (now() - begun > CLOSING_S) {
        fprintf(stderr, "%s: closing took %.1f s\n", script, now() - begun);
        failed = 1;
    }
    return failed;
}

int main(int argc, char **argv)
{
    const int fds = process_fds();
    int failed = argc < 2;

    for (int i = 0; i < ROUNDS && !failed; i++) {
        failed = run(argv[1]);
        if (!process_threads_end() || process_fds() != fds) {
            fprintf(stderr, "%d threads are left, and %d descriptors became %d\n",
                    process_threads(), fds, process_fds());
            failed = 1;
        }
    }
    printf("%s\n", failed ? "failed" : "ok");
    return failed;
}
