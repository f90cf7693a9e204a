/* SPDX-License-Identifier: MIT */
/* A host with two Lua states in two threads of one process, each of which runs the script
 * once in each round; the states are closed one behind the other, whatever runs in them.
 * The scripts have, to find each other:
 *     tell(what)    what the other one's ask() answers
 *     ask()         that, once; nil before
 *     first         whether this state is closed before the other one
 *     is_closed()   whether the state that is first was closed */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

enum { STATES = 2, ROUNDS = 4 };

static struct {
    pthread_mutex_t lock;
    char told[STATES][256];
    bool closed;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct host {
    const char *script;
    int number;
    bool first, failed;
};

static int tell(lua_State *L)
{
    const int number = (int)lua_tointeger(L, lua_upvalueindex(1));
    const char *what = luaL_checkstring(L, 1);

    pthread_mutex_lock(&shared.lock);
    snprintf(shared.told[number], sizeof shared.told[number], "%s", what);
    pthread_mutex_unlock(&shared.lock);
    return 0;
}

static int ask(lua_State *L)
{
    const int other = !lua_tointeger(L, lua_upvalueindex(1));
    char what[sizeof shared.told[other]];

    pthread_mutex_lock(&shared.lock);
    memcpy(what, shared.told[other], sizeof what);
    shared.told[other][0] = '\0';
    pthread_mutex_unlock(&shared.lock);
    lua_pushstring(L, what[0] != '\0' ? what : NULL);
    return 1;
}

static int is_closed(lua_State *L)
{
    pthread_mutex_lock(&shared.lock);
    lua_pushboolean(L, shared.closed);
    pthread_mutex_unlock(&shared.lock);
    return 1;
}

static void add(lua_State *L, const char *name, lua_CFunction fn, int number)
{
    lua_pushinteger(L, number);
    lua_pushcclosure(L, fn, 1);
    lua_setglobal(L, name);
}

/* One that fails ends them both: the other may wait for it. */
static void *run(void *argument)
{
    struct host *host = argument;
    lua_State *L = luaL_newstate();

    luaL_openlibs(L);
    add(L, "tell", tell, host->number);
    add(L, "ask", ask, host->number);
    add(L, "is_closed", is_closed, host->number);
    lua_pushboolean(L, host->first);
    lua_setglobal(L, "first");
    host->failed = luaL_loadfile(L, host->script) != 0 || lua_pcall(L, 0, 0, 0) != 0;
    if (host->failed) {
        fprintf(stderr, "state %d: %s\n", host->number, lua_tostring(L, -1));
        _Exit(1);
    }
    lua_close(L);
    if (host->first) {
        pthread_mutex_lock(&shared.lock);
        shared.closed = true;
        pthread_mutex_unlock(&shared.lock);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    for (int round = 0; round < ROUNDS && argc == 2; round++) {
        struct host hosts[STATES];
        pthread_t threads[STATES];

        shared.closed = false;
        for (int i = 0; i < STATES; i++) {
            hosts[i] = (struct host){argv[1], i, .first = round % STATES == i};
            if (pthread_create(&threads[i], NULL, run, &hosts[i]) != 0)
                return 1;
        }
        for (int i = 0; i < STATES; i++)
            pthread_join(threads[i], NULL);
    }
    printf("ok\n");
    return argc != 2;
}
