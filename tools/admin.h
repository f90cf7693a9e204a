/* SPDX-License-Identifier: MIT */
/*
 * Within `wsock serve`: the admin listener, where programs that are on no WebSocket
 * publish, kick and look, by POST of JSON (docs/auth.md). It is a server of its own, with
 * listeners of its own: nothing of it can be reached through those of the rooms.
 *
 *   admin.c         who may ask, and the way to what they ask
 *   admin_calls.c   what can be asked
 *   admin_publish.c of that, what is said in rooms
 *   admin_nodes.c   of that, what the broker has to answer
 */
#ifndef ADMIN_H
#define ADMIN_H

#include <jansson.h>
#include <wsock/wsock.h>

struct admin;

/**
 * Listen for those who administer.
 *
 * @param server   (borrowed until admin_free()) that they administer.
 * @param url      "unix:/PATH", or "http://127.0.0.1:PORT" or another address of
 * loopback.
 * @param key_file (nullable) its first line is the key that they need; a must for http.
 * @return 0, or an exit status after a complaint.
 */
int admin_start(struct admin **out, wsock_runtime *runtime, wsock_server *server,
                const char *url, const char *key_file);

/** Where it listens, as admin_start() takes it. @return its length, or a negative code.
 */
int admin_url(const struct admin *admin, char *out, size_t size);

/** Stop listening. Before the runtime ends. */
void admin_stop(struct admin *admin);
/** After the runtime has ended. Both take NULL. */
void admin_free(struct admin *admin);

/* ---- admin_calls.c ---- */

/** What became of a call: a status of HTTP, and either an answer or an error. */
struct admin_reply {
    unsigned status;
    json_t *ok;       /* (owned, nullable) */
    const char *code; /* of an error: static text */
    const char *text; /* for people: static text */

    wsock_request *request; /* that asked */
    int is_later;           /* 1: admin_answer() comes later, on a reference to it */
};

/** Answer who asked. Thread: any. */
void admin_answer(wsock_request *request, const struct admin_reply *reply);

/** @param args (borrowed) an object. */
typedef void (*admin_call_fn)(struct admin_reply *reply, wsock_server *server,
                              const json_t *args);

/** The call of a path, "/publish"; NULL when there is none. */
admin_call_fn admin_call_of(const char *path);

/** An answer that is an error. @param code, text (borrowed) static text */
void admin_say(struct admin_reply *reply, unsigned status, const char *code,
               const char *text);

/** What the library answered to a call, a negative code. */
void admin_say_error(struct admin_reply *reply, int r);

/** @return (borrowed from args) NULL after an error was said, where it is not there or no
 * text. */
const char *admin_need_text(struct admin_reply *reply, const json_t *args,
                            const char *name, const char *complaint);

/** A text that may be left out. @return 0 after an error was said. */
int admin_take_text(struct admin_reply *reply, const char **out, const json_t *args,
                    const char *name, const char *complaint);

/* ---- admin_publish.c ---- */

/** An admin_call_fn, and so is the next. */
void admin_publish(struct admin_reply *reply, wsock_server *server, const json_t *args);
void admin_broadcast(struct admin_reply *reply, wsock_server *server, const json_t *args);

/* ---- admin_nodes.c ---- */

/** An admin_call_fn. */
void admin_nodes(struct admin_reply *reply, wsock_server *server, const json_t *args);

#endif
