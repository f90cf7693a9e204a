/* SPDX-License-Identifier: MIT */
/* What of rooms takes or tells more than plain values: options, positions, exclusions,
 * and lists of who is there and of what was said. Where the library calls back, what may
 * fail runs protected, so that nothing of Lua jumps over its frames. */
#include "core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#if LUA_VERSION_NUM >= 502
#define LENGTH lua_rawlen
#else
#define LENGTH lua_objlen
#endif

/* ---- lists of connections ---- */

/* The members of this moment: their references are dropped whatever Lua does in between.
 */
struct members {
    size_t count;
    wsock_conn *conns[];
};

void wlua_drop_members(void *object)
{
    struct members *members = object;

    for (size_t i = 0; i < members->count; i++)
        wsock_conn_unref(members->conns[i]);
    free(members);
}

/* Room for so many, in a handle on top of the stack. */
static struct members *new_members(lua_State *L, size_t max)
{
    struct members **box = wlua_new_handle(L, WLUA_members);

    *box = calloc(1, sizeof **box + max * sizeof(wsock_conn *));
    if (*box == NULL)
        luaL_error(L, "not enough memory");
    return *box;
}

/* A list of the objects of those on top. */
static int push_members(lua_State *L, const struct members *members)
{
    int n = 0;

    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, (int)members->count, 0);
    for (size_t i = 0; i < members->count; i++) {
        const struct wlua_slot *slot = wlua_adopted(members->conns[i]);

        if (slot == NULL || slot->ref == 0)
            continue;
        wlua_push(L, slot->state, slot->ref);
        lua_rawseti(L, -2, ++n);
    }
    /* At once, and not when the collector comes to it: a reference keeps a connection. */
    wlua_drop_handle(L, lua_gettop(L) - 1);
    return 1;
}

/* room_members(room): a list of the objects of connections. */
static int room_members(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    const size_t max = wsock_room_count(room);
    struct members *members = new_members(L, max);
    const size_t count = max > 0 ? wsock_room_members(room, members->conns, max) : 0;

    members->count = count < max ? count : max;
    return push_members(L, members);
}

/* identity_conns(server, identity): the same of who that is. */
static int identity_conns(lua_State *L)
{
    wsock_server *server = wlua_check(L, 1, WLUA_server);
    const char *identity = luaL_checkstring(L, 2);
    const size_t max = wsock_server_identity_conns(server, NULL, 0, identity);
    struct members *members = new_members(L, max);
    const size_t count = max > 0 ? wsock_server_identity_conns(server, members->conns,
                                                               max, identity)
                                 : 0;

    members->count = count < max ? count : max;
    return push_members(L, members);
}

/* ---- positions ---- */

/* Epochs are texts to scripts: not all Luas have integers of 64 bits. */
void wlua_push_place(lua_State *L, uint64_t epoch, uint64_t offset)
{
    char text[17];

    if (epoch == 0) {
        lua_pushnil(L);
        lua_pushnil(L);
        return;
    }
    snprintf(text, sizeof text, "%016" PRIx64, epoch);
    lua_pushstring(L, text);
    lua_pushinteger(L, (lua_Integer)offset);
}

/* A position of a text and a number; "" is who comes for the first time. */
static wsock_position position_at(lua_State *L, int index)
{
    wsock_position position = {.size = sizeof position};
    const char *epoch = wlua_text(L, index);
    char *end = NULL;

    if (LENGTH(L, index) > 16)
        luaL_argerror(L, index, "an epoch is 16 hexadecimal digits");
    if (*epoch != '\0')
        position.epoch = strtoull(epoch, &end, 16);
    if (end != NULL && *end != '\0')
        luaL_argerror(L, index, "an epoch is 16 hexadecimal digits");
    position.offset = (uint64_t)wlua_integer(L, index + 1, 0, INT64_MAX);
    return position;
}

/* room_position(room): epoch and offset; false without history. */
static int room_position(lua_State *L)
{
    wsock_position position = {.size = sizeof position};
    const int r = wsock_room_position(wlua_check(L, 1, WLUA_room), &position);

    if (r == WSOCK_ENOTSUP) {
        lua_pushboolean(L, 0);
        return 1;
    }
    if (r < 0)
        return wlua_fail(L, r);
    wlua_push_place(L, position.epoch, position.offset);
    return 2;
}

/* ---- making and joining ---- */

/* make_room(server, name, {option, value, ...}), all of which are strings */
static int make_room(lua_State *L)
{
    wsock_server *server = wlua_check(L, 1, WLUA_server);
    const char *name = wlua_text(L, 2), **options;
    wsock_room **out;
    int count, r;

    luaL_checktype(L, 3, LUA_TTABLE);
    count = (int)LENGTH(L, 3);
    luaL_checkstack(L, count + 8, NULL);
    options = lua_newuserdata(L, (size_t)(count + 1) * sizeof *options);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 3, i + 1);
        options[i] = luaL_checkstring(L, -1);
    }
    options[count] = NULL;
    out = wlua_new_handle(L, WLUA_room);
    r = wsock_server_make_room(server, out, name, options);
    return r < 0 ? wlua_fail(L, r) : 1;
}

/* room_join(room, conn, info or nil, epoch or nil, offset, record or nil): how that went */
static int room_join(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    wsock_conn *conn = wlua_check(L, 2, WLUA_conn);
    wsock_joined joined = {.size = sizeof joined};
    wsock_join how = {.size = sizeof how};
    wsock_position since;
    struct wlua_answer *answer;
    int r;

    if (!lua_isnoneornil(L, 3))
        how.info = wlua_bytes(L, 3, &how.info_len);
    if (!lua_isnoneornil(L, 4)) {
        since = position_at(L, 4);
        how.since = &since;
    }
    answer = wlua_answer_new(L, 6);
    if (answer != NULL) {
        how.on_joined = wlua_on_joined;
        how.joined_user = answer;
    }
    r = wsock_room_join_with(room, conn, &how, &joined);
    if (answer != NULL)
        wlua_answer_asked(answer, r < 0);
    if (r < 0)
        return wlua_fail(L, r);
    wlua_push_joined(L, &joined);
    return 1;
}

/* ---- publishing ---- */

/* Whether a member is a key of the table on top: what the script's own function said,
 * before, since it may raise an error, and nothing here can. */
static int is_chosen(wsock_conn *conn, void *user)
{
    const struct wlua_slot *slot = wlua_adopted(conn);
    lua_State *L = user;
    bool chosen;

    if (slot == NULL)
        return 0;
    wlua_push(L, slot->state, slot->ref);
    if (!lua_isnil(L, -1))
        lua_rawget(L, -2);
    chosen = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return chosen;
}

/* What argument 4 leaves out: nil, an identity, or a list of handles. */
static void exclude(lua_State *L, wsock_publish *what)
{
    wsock_conn **conns;

    if (lua_type(L, 4) == LUA_TSTRING)
        what->except_identity = wlua_text(L, 4);
    if (lua_type(L, 4) != LUA_TTABLE)
        return;
    what->excluded_count = LENGTH(L, 4);
    conns = lua_newuserdata(L, (what->excluded_count + 1) * sizeof(wsock_conn *));
    for (size_t i = 0; i < what->excluded_count; i++) {
        lua_rawgeti(L, 4, (int)i + 1);
        conns[i] = wlua_check(L, lua_gettop(L), WLUA_conn);
        lua_pop(L, 1);
    }
    what->excluded = conns;
}

/* publish(room, type, data, excluded, key, set of connections or nil, event, from, record or
 * nil): for how many, epoch, offset; nobody got it where a worker is too far behind. Behind
 * them, with a record, what became of it, or nil as long as that is not known. */
static int publish(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    wsock_position position = {.size = sizeof position};
    wsock_publish what = {.size = sizeof what};
    struct wlua_answer *answer;
    wsock_published done = {.outcome = WSOCK_NOT_STORED, .why = wsock_strerror(WSOCK_EAGAIN)};
    bool is_told;
    int r;

    lua_settop(L, 9);
    what.type = (int32_t)wlua_integer(L, 2, 0, INT32_MAX);
    what.data = wlua_bytes(L, 3, &what.len);
    what.key = wlua_text(L, 5);
    what.event = wlua_text(L, 7);
    what.from = wlua_text(L, 8);
    exclude(L, &what);
    if (!lua_isnil(L, 6)) {
        luaL_checktype(L, 6, LUA_TTABLE);
        what.only = is_chosen;
        what.only_user = L;
        lua_pushvalue(L, 6);
    }
    answer = wlua_answer_new(L, 9);
    if (answer != NULL) {
        what.on_done = wlua_on_done;
        what.done_user = answer;
    }
    r = wsock_room_publish(room, &what, &position);
    is_told = answer != NULL && (answer->came || r < 0);
    if (answer != NULL && answer->came)
        done = answer->what.published;
    if (answer != NULL)
        wlua_answer_asked(answer, r < 0);
    if (r < 0 && r != WSOCK_EAGAIN)
        return wlua_fail(L, r);
    lua_pushinteger(L, r < 0 ? 0 : r);
    wlua_push_place(L, position.epoch, position.offset);
    if (!is_told)
        return 3;
    wlua_push_published(L, &done);
    return 4;
}

/* ---- the rooms of a server ---- */

/* server_rooms(server, pattern or nil): a list of handles. They are made before anything is
 * filled in, since nothing may fail behind that. */
static int server_rooms(lua_State *L)
{
    wsock_server *server = wlua_check(L, 1, WLUA_server);
    const char *pattern = wlua_text(L, 2);
    const int64_t max = wsock_server_rooms(server, NULL, 0, pattern);
    wsock_room **rooms, ***handles;
    int64_t count;

    if (max < 0)
        return wlua_fail(L, (int)max);
    rooms = lua_newuserdata(L, (size_t)(max + 1) * sizeof *rooms);
    handles = lua_newuserdata(L, (size_t)(max + 1) * sizeof *handles);
    lua_createtable(L, (int)max, 0);
    for (int i = 0; i < (int)max; i++) {
        handles[i] = wlua_new_handle(L, WLUA_room);
        lua_rawseti(L, -2, i + 1);
    }
    count = max > 0 ? wsock_server_rooms(server, rooms, (size_t)max, pattern) : 0;
    for (int64_t i = 0; i < count && i < max; i++)
        *handles[i] = rooms[i];
    for (int i = (int)count; i < (int)max; i++) {
        lua_pushnil(L);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- lists that the library tells ---- */

/* The stack becomes: the room, a function that appends, and a list. */
static void begin_list(lua_State *L, lua_CFunction append)
{
    lua_settop(L, 1);
    luaL_checkstack(L, 8, NULL);
    lua_pushcfunction(L, append);
    lua_newtable(L);
}

/* Nothing here takes memory before it is protected. @return nonzero with an error on top
 */
static int append(lua_State *L, const void *entry)
{
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_pushlightuserdata(L, (void *)entry);
    return lua_pcall(L, 2, 0, 0);
}

static int end_list(lua_State *L, int r)
{
    if (lua_gettop(L) > 3)
        return lua_error(L);
    return r < 0 ? wlua_fail(L, r) : 1;
}

static int told_person(const wsock_person *person, void *L)
{
    return append(L, person);
}

static int told_message(const wsock_room_message *message, void *L)
{
    return append(L, message);
}

/* (list, person) */
static int append_person(lua_State *L)
{
    wlua_push_person(L, lua_touserdata(L, 2));
    lua_rawseti(L, 1, (int)LENGTH(L, 1) + 1);
    return 0;
}

void wlua_push_room_message(lua_State *L, const wsock_room_message *message)
{
    lua_createtable(L, 0, 10);
    lua_pushlstring(L, message->data, message->len);
    lua_setfield(L, -2, "data");
    wlua_set_boolean(L, "binary", message->type == WSOCK_BINARY);
    wlua_set_boolean(L, "json", message->is_json);
    wlua_set_text(L, "event", message->event);
    if (*message->from != '\0') {
        wlua_set_text(L, "from", message->from);
    }
    wlua_set_text(L, "key", message->key);
    wlua_set_seconds(L, "time", message->time_ms);
    wlua_push_place(L, message->epoch, message->offset);
    lua_setfield(L, -3, "offset");
    lua_setfield(L, -2, "epoch");
    wlua_set_integer(L, "prev", (lua_Integer)message->prev);
}

/* (list, message) */
static int append_message(lua_State *L)
{
    wlua_push_room_message(L, lua_touserdata(L, 2));
    lua_rawseti(L, 1, (int)LENGTH(L, 1) + 1);
    return 0;
}

/* room_people(room) */
static int room_people(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);

    begin_list(L, append_person);
    return end_list(L, wsock_room_people(room, told_person, L));
}

/* room_history(room, before, limit) */
static int room_history(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    const uint64_t before = (uint64_t)wlua_integer(L, 2, 0, INT64_MAX);
    const size_t limit = (size_t)wlua_integer(L, 3, 0, INT32_MAX);

    begin_list(L, append_message);
    return end_list(L, wsock_room_history(room, before, limit, told_message, L));
}

/* ---- of one member ---- */

/* room_info(room, conn): what it joined with; false when that was nothing. */
static int room_info(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    wsock_conn *conn = wlua_check(L, 2, WLUA_conn);
    int64_t limit = 0;
    void *out;
    int r;

    wsock_room_get_int64(room, "max_info_bytes", &limit);
    out = lua_newuserdata(L, (size_t)limit + 1);
    r = wsock_room_info(room, conn, out, (size_t)limit);
    if (r < 0)
        return wlua_fail(L, r);
    if (r == 0)
        lua_pushboolean(L, 0);
    else
        lua_pushlstring(L, out, (size_t)r);
    return 1;
}

/* room_dropped(room, conn or nil) */
static int room_dropped(lua_State *L)
{
    wsock_room *room = wlua_check(L, 1, WLUA_room);
    wsock_conn *conn = lua_isnoneornil(L, 2) ? NULL : wlua_check(L, 2, WLUA_conn);
    const int64_t count = wsock_room_dropped(room, conn);

    if (count < 0)
        return wlua_fail(L, (int)count);
    lua_pushinteger(L, (lua_Integer)count);
    return 1;
}

const luaL_Reg wlua_room_functions[] = {
    {"room_members", room_members},
    {"identity_conns", identity_conns},
    {"room_position", room_position},
    {"server_rooms", server_rooms},
    {"make_room", make_room},
    {"room_join", room_join},
    {"publish", publish},
    {"room_people", room_people},
    {"room_history", room_history},
    {"room_info", room_info},
    {"room_dropped", room_dropped},
    {NULL, NULL},
};
