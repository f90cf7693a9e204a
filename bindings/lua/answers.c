/* SPDX-License-Identifier: MIT */
/* What is asked now and answered later, on the server's queue: who is on all servers of a
 * cluster, what became of a message, how a join went. The library calls back once, or never
 * when the queue was closed before; so those that wait stand in a list of the state's. */
#include "core.h"

#include <stdlib.h>

enum which { PEOPLE = 1, NODES, PUBLISHED, JOINED };

/* A list, or why there is none. */
struct listing {
    const void *entries;
    size_t count;
    const char *why;
};

/* ---- those that wait ---- */

static void unlink_answer(struct wlua_answer *answer)
{
    *answer->link = answer->next;
    if (answer->next != NULL)
        answer->next->link = answer->link;
}

static void free_answer(struct wlua_answer *answer)
{
    wlua_slot_release(answer->slot);
    free(answer);
}

struct wlua_answer *wlua_answer_new(lua_State *L, int index)
{
    struct wlua_state *state = wlua_state_of(L);
    struct wlua_answer *answer;

    if (lua_isnoneornil(L, index))
        return NULL;
    luaL_checktype(L, index, LUA_TTABLE);
    answer = calloc(1, sizeof *answer);
    if (answer == NULL)
        luaL_error(L, "not enough memory");
    /* Linked first: what raises an error leaves it to the end of the runtime. */
    answer->next = state->answers;
    answer->link = &state->answers;
    if (answer->next != NULL)
        answer->next->link = &answer->next;
    state->answers = answer;
    answer->slot = wlua_slot_new(L, state, index);
    if (answer->slot == NULL) {
        unlink_answer(answer);
        free(answer);
        luaL_error(L, "not enough memory");
    }
    answer->inside = true;
    return answer;
}

void wlua_answer_asked(struct wlua_answer *answer, bool failed)
{
    answer->inside = false;
    if (!answer->came && !failed)
        return;
    unlink_answer(answer);
    free_answer(answer);
}

void wlua_answers_drop(struct wlua_state *state)
{
    struct wlua_answer *answer = state->answers, *next;

    state->answers = NULL;
    for (; answer != NULL; answer = next) {
        next = answer->next;
        if (answer->slot != NULL)
            wlua_slot_release(answer->slot);
        free(answer);
    }
}

static void tell(struct wlua_answer *answer, enum which which, const void *told)
{
    unlink_answer(answer);
    wlua_happened(answer->slot, (struct wlua_event){
                                    .kind = WLUA_ANSWER, .flags = (int)which, .data = told});
    free_answer(answer);
}

/* Its record is { who waits, or false once he was told; whether that failed }. */
void wlua_lose_answer(struct wlua_state *state)
{
    lua_State *L = state->L;

    wlua_push(L, state, state->event.slot->ref);
    lua_rawgeti(L, -1, 1);
    if (lua_toboolean(L, -1)) {
        lua_pushboolean(L, 1);
        lua_rawseti(L, -3, 2);
        state->lost = true;
    }
    lua_pop(L, 2);
}

/* lost(): whether some were, since it was asked last. */
static int take_lost(lua_State *L)
{
    struct wlua_state *state = wlua_state_of(L);

    lua_pushboolean(L, state->lost);
    state->lost = false;
    return 1;
}

/* ---- trampolines ---- */

static void on_people(const wsock_person *people, size_t count, const char *why, void *user)
{
    tell(user, PEOPLE, &(struct listing){people, count, why});
}

static void on_nodes(const wsock_node *nodes, size_t count, const char *why, void *user)
{
    tell(user, NODES, &(struct listing){nodes, count, why});
}

void wlua_on_done(const wsock_published *published, void *user)
{
    struct wlua_answer *answer = user;

    if (!answer->inside) {
        tell(answer, PUBLISHED, published);
        return;
    }
    answer->came = true;
    answer->what.published = *published;
    answer->what.published.why = ""; /* it is stored, or nobody would know yet */
}

void wlua_on_joined(wsock_conn *conn, const wsock_joined *joined, void *user)
{
    struct wlua_answer *answer = user;

    (void)conn;
    if (!answer->inside) {
        tell(answer, JOINED, joined);
        return;
    }
    answer->came = true;
    answer->what.joined = *joined;
}

/* ---- as values ---- */

void wlua_push_person(lua_State *L, const wsock_person *person)
{
    lua_createtable(L, 0, 3);
    wlua_set_text(L, "identity", person->identity);
    wlua_set_integer(L, "count", (lua_Integer)person->conns);
    wlua_set_bytes(L, "info", person->info, person->info_len);
}

static void push_node(lua_State *L, const wsock_node *node)
{
    lua_createtable(L, 0, 4);
    wlua_set_text(L, "id", node->id);
    wlua_set_text(L, "name", node->name);
    wlua_set_integer(L, "count", (lua_Integer)node->conns);
    wlua_set_boolean(L, "is_self", node->is_self != 0);
}

static void push_listing(lua_State *L, const struct listing *told, enum which which)
{
    if (*told->why != '\0') {
        lua_pushstring(L, told->why);
        return;
    }
    lua_createtable(L, (int)told->count, 0);
    for (size_t i = 0; i < told->count; i++) {
        if (which == PEOPLE)
            wlua_push_person(L, (const wsock_person *)told->entries + i);
        else
            push_node(L, (const wsock_node *)told->entries + i);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Where there is one. */
static void set_position(lua_State *L, uint64_t epoch, uint64_t offset)
{
    if (epoch == 0)
        return;
    lua_createtable(L, 0, 2);
    wlua_push_place(L, epoch, offset);
    lua_setfield(L, -3, "offset");
    lua_setfield(L, -2, "epoch");
    lua_setfield(L, -2, "position");
}

void wlua_push_joined(lua_State *L, const wsock_joined *joined)
{
    lua_createtable(L, 0, 3);
    set_position(L, joined->epoch, joined->offset);
    if (joined->recovered >= 0) {
        wlua_set_boolean(L, "recovered", joined->recovered);
    }
    wlua_set_integer(L, "missed", (lua_Integer)joined->count);
}

void wlua_push_published(lua_State *L, const wsock_published *published)
{
    lua_createtable(L, 0, 4);
    wlua_set_text(L, "outcome",
                  published->outcome == WSOCK_STORED       ? "stored"
                  : published->outcome == WSOCK_NOT_STORED ? "not stored"
                                                           : "unknown");
    wlua_set_text(L, "why", published->why);
    wlua_set_seconds(L, "time", published->time_ms);
    set_position(L, published->epoch, published->offset);
}

int wlua_push_answer(lua_State *L, const struct wlua_event *event)
{
    switch (event->flags) {
    case PUBLISHED:
        wlua_push_published(L, event->data);
        break;
    case JOINED:
        wlua_push_joined(L, event->data);
        break;
    default:
        push_listing(L, event->data, (enum which)event->flags);
        break;
    }
    return 1;
}

/* ---- asking ---- */

static int asked(lua_State *L, struct wlua_answer *answer, int r)
{
    wlua_answer_asked(answer, r < 0);
    if (r < 0)
        return wlua_fail(L, r);
    lua_pushboolean(L, 1);
    return 1;
}

/* people_everywhere(room, record) */
static int people_everywhere(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    struct wlua_answer *answer;

    luaL_checktype(L, 2, LUA_TTABLE);
    answer = wlua_answer_new(L, 2);
    return asked(L, answer, wsock_room_people_everywhere(room, on_people, answer));
}

/* nodes(server, record) */
static int nodes(lua_State *L)
{
    wsock_server *server = wlua_check(L, 1, WLUA_server);
    struct wlua_answer *answer;

    luaL_checktype(L, 2, LUA_TTABLE);
    answer = wlua_answer_new(L, 2);
    return asked(L, answer, wsock_server_nodes(server, on_nodes, answer));
}

/* cluster(server): how it is, and why the broker is away */
static int cluster(lua_State *L)
{
    char why[512] = "";
    const int state = wsock_server_cluster(wlua_check(L, 1, WLUA_server), why, sizeof why);

    if (state < 0)
        return wlua_fail(L, state);
    lua_pushinteger(L, state);
    lua_pushstring(L, why);
    return 2;
}

const luaL_Reg wlua_answer_functions[] = {
    {"people_everywhere", people_everywhere},
    {"nodes", nodes},
    {"cluster", cluster},
    {"lost", take_lost},
    {NULL, NULL},
};
