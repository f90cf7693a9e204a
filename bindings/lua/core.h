/* SPDX-License-Identifier: MIT */
/* What the hand-written parts of the Lua module share: handles (handle.c), the state of one
 * lua_State and what the library points to in it (state.c), the way of an event into a
 * handler (events.c), the functions that are called often (hot.c), what rooms have that
 * takes or tells more than plain values (rooms.c), what is answered later, as clusters do
 * (answers.c), the questions of who serves rooms (asks.c), and signed tokens (jwt.c). Beside them stands what SWIG makes of the headers (typemaps.i);
 * wsock.lua makes the classes of it all. */
#ifndef WLUA_CORE_H
#define WLUA_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <lauxlib.h>
#include <lua.h>
#include <wsock/wsock.h>

#include "../log.h"

/* ---- handles: one reference to an object of the library, in the box of a script ---- */

enum wlua_kind {
    WLUA_runtime,
    WLUA_server,
    WLUA_endpoint,
    WLUA_request,
    WLUA_conn,
    WLUA_client,
    WLUA_message,
    WLUA_room,
    WLUA_queue,
    WLUA_timer,
    WLUA_jwt_key,
    WLUA_jwt,
    WLUA_ask,
    WLUA_members, /* no object of the library's, but a list of some: see rooms.c */
    WLUA_KINDS
};

struct wlua_handle {
    void *object; /* NULL until the call that makes it succeeded */
    enum wlua_kind kind;
    unsigned process;                 /* that made it, see wlua_process */
    struct wlua_state *state;         /* (borrowed) while it has a link */
    int ref;                          /* keeps this, while it has a link */
    struct wlua_handle *next, **link; /* of the state's; link: what points here */
};

/** Counts forks: what a parent made is of no use to its child. */
extern unsigned wlua_process;

/** Drop what handles still hold: those that finalizers make while a state closes are never
 *  finalized themselves, nor are others for whose finalizer there was no memory. */
void wlua_drop_handles(struct wlua_handle **handles);
/** Drop those of one object, from the first handle on. Takes no memory. */
void wlua_drop_object(struct wlua_handle *handle, const void *object);
/** Drop what a handle holds before its finalizer does. */
void wlua_drop_handle(lua_State *L, int index);
/** Make the metatables; leaves that of connections on the stack, for wlua_fast_conn(). */
void wlua_open_handles(lua_State *L);
/** Push a handle that has no object yet. @return where the object belongs: before a
 *  reference is taken for it, which would be lost when there is no memory for the handle */
void *wlua_new_handle(lua_State *L, enum wlua_kind kind);
/** Whether a value is a handle of that kind, with or without an object. */
bool wlua_is(lua_State *L, int index, enum wlua_kind kind);
/** The object of an argument; raises an error for whatever is none of that kind. */
void *wlua_check(lua_State *L, int index, enum wlua_kind kind);
/** The same, or NULL when it holds none, or not of this process. */
void *wlua_held(lua_State *L, int index, enum wlua_kind kind);
/** Push nil, text and code. @return 3, for return */
int wlua_fail(lua_State *L, int code);
/** A text without NUL; NULL for nil. */
const char *wlua_text(lua_State *L, int index);
/** A payload: a string. */
const char *wlua_bytes(lua_State *L, int index, size_t *len);
/** The message that an object of wsock.lua holds in its field 1; NULL for another value. */
wsock_message *wlua_message(lua_State *L, int index);
/** A whole number of that range. */
int64_t wlua_integer(lua_State *L, int index, int64_t min, int64_t max);

/** Set a field of the table on top. */
void wlua_set_text(lua_State *L, const char *name, const char *value);
void wlua_set_integer(lua_State *L, const char *name, lua_Integer value);
void wlua_set_boolean(lua_State *L, const char *name, bool value);
/** To seconds. */
void wlua_set_seconds(lua_State *L, const char *name, int64_t value_ms);
/** Bytes; left out when they are NULL. */
void wlua_set_bytes(lua_State *L, const char *name, const void *data, size_t len);

/* ---- what the library points to ---- */

/** The user pointer of a registration, connection, request, timer or call. */
struct wlua_slot {
    struct wlua_state *state; /* (owned) a reference */
    struct wlua_slot *next;   /* of state->dead */
    wsock_conn *conn;         /* (nullable) of a timer; what ref refers to keeps it */
    int ref; /* see wlua_ref(); of hooks: a weak table, whose field 1 they are */
    bool is_hooks;
    bool adopted; /* ref is the object of a connection, not what its request carries */
    bool busy;    /* a handler of the connection yielded, so its messages wait */
};

/** What a handler is to be called for. The numbers are the keys of a table of hooks. */
enum wlua_event_kind {
    WLUA_MESSAGE = 1,
    WLUA_PART,
    WLUA_DRAIN,
    WLUA_PONG,
    WLUA_OPEN,
    WLUA_CLOSE,
    WLUA_CONN_TIMER,
    WLUA_CONN_CALL,
    WLUA_ASK, /* the question is the data */
    WLUA_OF_CONNS = WLUA_ASK, /* up to here, the object is a connection */
    WLUA_REQUEST,
    WLUA_CANCELLED,
    WLUA_HTTP,
    WLUA_STATE,
    WLUA_STOPPED,
    WLUA_TIMER,
    WLUA_CALL,
    WLUA_LOG, /* a line of the library's log */
    WLUA_ROOM_JOIN,
    WLUA_ROOM_LEAVE,
    WLUA_ROOM_MESSAGE,
    WLUA_CLUSTER, /* the broker came or went */
    WLUA_ANSWER,  /* what was asked for is known: see struct wlua_answer */
    WLUA_EVENT_KINDS,
    WLUA_BUSY = WLUA_EVENT_KINDS, /* a message while a handler waits */
    WLUA_FAILED,                  /* a handler raised an error */
    WLUA_PARKED,                  /* a handler yielded */
    WLUA_FORGET,                  /* a connection's end could not be told */
    WLUA_FUNCTIONS
};

struct wlua_event {
    enum wlua_event_kind kind;
    int flags; /* of a message its type; of a part WSOCK_PART_*, above its type */
    const struct wlua_slot *slot; /* the registration's */
    void *object;                 /* connection or request */
    const void *data;
    size_t len;
    uint64_t missed;
};

/** A server or client that lives on without the script: to be ended with the state. */
struct wlua_kept {
    struct wlua_kept *next;
    void *object; /* (owned) a reference */
    enum wlua_kind kind;
};

struct wlua_state {
    atomic_uint refs;
    unsigned process;
    wsock_runtime *runtime; /* both made when first needed */
    wsock_queue *queue;
    struct wbind_log *log; /* of the runtime */
    struct wlua_kept *kept;
    struct wlua_answer *answers; /* that have not come */
    bool lost;                   /* one came, and there was no memory to tell it */
    struct wlua_handle *handles; /* all that were not finalized */

    lua_State *L;     /* that called dispatch */
    lua_State *store; /* its stack holds the table of references */
    int store_len, store_free; /* how many it has; the first that is free, or 0 */
    lua_State *co;    /* handlers run on it, until one yields or fails */
    int co_ref;
    int replace_ref, replace_spent_ref; /* functions of events.c */
    int run_ref;                       /* of wsock.lua: runs what core.take() tells */
    int function_refs[WLUA_FUNCTIONS]; /* of wsock.lua, for what is not called directly */
    bool for_tests; /* the runtime: its clock is the one that counts */
    bool spent;     /* co must not be resumed any more */
    bool dispatching;
    bool pending; /* nobody has taken the event yet */
    struct wlua_event event;
    struct wlua_slot of_log; /* what lines of the log come with */

    pthread_mutex_t lock; /* below: slots that the library let go, on any thread */
    struct wlua_slot *dead;
    bool closed;
};

/** The state that a function of the module belongs to; raises an error once it closed. */
struct wlua_state *wlua_state_of(lua_State *L);
/** The same for functions without upvalues: it takes a look into the registry. */
struct wlua_state *wlua_state_found(lua_State *L);
/** Make the state; leaves its box on the stack, upvalue 1 of the module's functions. */
void wlua_open_state(lua_State *L);
/** Refer to the value on top, and pop it. @return its number, above 0 */
int wlua_ref(lua_State *L, struct wlua_state *state);
/** Forget what it refers to; does nothing for 0. Takes no memory, as the next does not. */
void wlua_unref(struct wlua_state *state, int ref);
/** Push what it refers to; L may be any thread of Lua's. */
void wlua_push(lua_State *L, const struct wlua_state *state, int ref);
/** Make runtime and queue unless they are there. @return 0 or a code */
int wlua_start(struct wlua_state *state);
/** A slot for what index holds. @return NULL without memory */
struct wlua_slot *wlua_slot_new(lua_State *L, struct wlua_state *state, int index);
/** The slot of a connection that has an object; NULL for another. */
struct wlua_slot *wlua_adopted(const wsock_conn *conn);
/** The wsock_free_fn of slots. */
void wlua_slot_release(void *slot);
/** Free what wlua_slot_release() could not. */
void wlua_bury(struct wlua_state *state);
/** Where handlers may run: tell the lines of a log that wait. @return how many */
int wlua_tell(struct wlua_state *state, struct wbind_log *log);

/** A trampoline: run the handler of that registration. */
void wlua_happened(const struct wlua_slot *slot, struct wlua_event event);
/** A slot for the table of hooks at index; raises an error without memory. */
struct wlua_slot *wlua_hooks_slot(lua_State *L, int index);
/** What a function that registered answers; lets the slot go where it failed. */
int wlua_registered(lua_State *L, struct wlua_slot *slot, int r);
/** The object of a connection, or nil. */
void wlua_push_conn(lua_State *L, wsock_conn *conn);

/** Push what a hook gets: a handle, and the object of the connection that asks. */
int wlua_push_ask(lua_State *L, const struct wlua_event *event);
/** Refuse a question whose hook failed. Where there is no memory for that, it is let go,
 *  and so refused by the library. */
void wlua_fail_ask(struct wlua_state *state, wsock_ask *ask);

/** Something whose answer comes later, once, or inside the call that asks, where no handler
 *  may run. Who asked is a record of events.lua. */
struct wlua_answer {
    struct wlua_slot *slot; /* of the record */
    struct wlua_answer *next, **link; /* of the state's */
    bool inside; /* the call has not returned */
    bool came;   /* meanwhile */
    union {
        wsock_published published;
        wsock_joined joined;
    } what; /* if it came */
};

/** To wait for one, by the record at index; NULL for nil there; raises an error without
 *  memory. */
struct wlua_answer *wlua_answer_new(lua_State *L, int index);
/** The call that asked returned: nothing more comes if it failed, or if it came inside. */
void wlua_answer_asked(struct wlua_answer *answer, bool failed);
/** None of them comes any more. */
void wlua_answers_drop(struct wlua_state *state);
/** Those on_done and on_joined; user is the answer. */
void wlua_on_done(const wsock_published *published, void *user);
void wlua_on_joined(wsock_conn *conn, const wsock_joined *joined, void *user);
/** Push what a function gets to hear: a table, or a text where there is none. @return 1 */
int wlua_push_answer(lua_State *L, const struct wlua_event *event);
/** There was no memory for that. Takes none. */
void wlua_lose_answer(struct wlua_state *state);
void wlua_push_published(lua_State *L, const wsock_published *published);
void wlua_push_joined(lua_State *L, const wsock_joined *joined);
void wlua_push_person(lua_State *L, const wsock_person *person);

/** Push an epoch and an offset; nil twice for epoch 0. */
void wlua_push_place(lua_State *L, uint64_t epoch, uint64_t offset);

/** Free a list of connections. */
void wlua_drop_members(void *members);
/** Push a table of a message to a room. */
void wlua_push_room_message(lua_State *L, const wsock_room_message *message);

extern const luaL_Reg wlua_state_functions[];
extern const luaL_Reg wlua_event_functions[];
extern const luaL_Reg wlua_hot_functions[];
extern const luaL_Reg wlua_room_functions[];
extern const luaL_Reg wlua_answer_functions[];
extern const luaL_Reg wlua_ask_functions[];
extern const luaL_Reg wlua_jwt_functions[];

#endif
