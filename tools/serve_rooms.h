/* SPDX-License-Identifier: MIT */
/*
 * Within `wsock serve`: rooms with members of both kinds (serve_rooms.c) and the frames
 * of wsock.rooms.v1 (serve_v1.c).
 *
 * Locks: rooms->lock guards the two trees and the counts of references; room->lock guards
 * the members of one room and makes the order of its broadcasts. Never both at once. What
 * a session holds besides its identity belongs to the handlers of its connection.
 */
#ifndef SERVE_ROOMS_H
#define SERVE_ROOMS_H

#include <pthread.h>

#include <jansson.h>
#include <wsock/wsock.h>

#include "serve.h"

#define SUBPROTOCOL "wsock.rooms.v1"

#define NAME_MAX_BYTES  64    /* of a name that a member asks for */
#define EVENT_MAX_BYTES 64    /* of the event of a pub */
#define ID_MAX_BYTES    64    /* of a request's id */
#define FRAME_MAX_BYTES 65536 /* of a frame that a member sends */
#define JSON_MAX_DEPTH  32
#define BATCH_MAX       64
#define MEMBERS_LISTED  100 /* in a larger room members are counted, not named */
#define CLOSE_HELLO_LATE \
    4408 /* come back: nothing is wrong with the client but its pace */
#define CLOSE_NOT_READING 1013

struct rooms {
    wsock_runtime *runtime;
    wsock_server *server;
    int64_t heartbeat_ms;
    pthread_mutex_t lock;
    void *room_tree;     /* of struct room, by name */
    void *identity_tree; /* of struct session, by identity */
};

/* A seat: one session in one room. */
struct member {
    struct room *room;
    struct session *session;
    struct member *prev; /* in the room */
    struct member *next;
    struct member *next_of_session;
};

struct room {
    struct rooms *rooms;
    wsock_room *handle;
    size_t refs;
    pthread_mutex_t lock;
    struct member *members;
    size_t raw_count;
    size_t v1_count;
};

struct session {
    struct rooms *rooms;
    wsock_conn *conn;  /* borrowed: valid from on_open until on_close returns */
    struct room *home; /* of the path, NULL for /rooms */
    struct member *members;
    wsock_timer *timer; /* for the hello that is due, then the heartbeat */
    int is_v1;
    int has_identity;
    char identity[NAME_MAX_BYTES + 32];
};

/* What somebody says: `raw` as raw members get it, `data` as the others do. */
struct post {
    const char *event;
    json_t *data; /* borrowed, nullable: made from raw when it is needed */
    int raw_type;
    const void *raw;
    size_t raw_len;
};

/** Get a room by name or make it. @return 0, or a negative code of the library. */
int room_get(struct rooms *rooms, struct room **out, const char *name);
void room_drop(struct room *room);
const char *room_name(const struct room *room);

/** The seat of a session in a room of this name; NULL when it has none. */
struct member *session_member(const struct session *session, const char *name);

/**
 * Take a seat; v1 members get the frame joined, the others in the room a presence.
 *
 * @param id (borrowed, nullable) of the request that asked for it.
 * @return 0; WSOCK_EEXIST; others as wsock_room_join().
 */
int room_join(struct room *room, struct session *session, const json_t *id);

/** Give up a seat, which is freed with its hold on the room. */
void room_leave(struct member *member);

/** Say something to all members, in one order for all of them. */
void room_publish(struct room *room, const struct session *from, const struct post *post);

/** Take the wanted name, or the nearest free one, as identity. @return 0 or WSOCK_ENOMEM.
 */
int session_claim(struct session *session, const char *wanted);

/* serve_v1.c */

/** A member that speaks wsock.rooms.v1 is open: its hello is due. */
void v1_open(struct session *session);
void v1_message(struct session *session, int type, const void *data, size_t len);

/** The frame that answers a join. Called with the room's lock held. */
void v1_send_joined(struct session *session, const struct room *room, const json_t *id);

/** @return (owned) the text of a frame for free(), NULL without memory. */
char *v1_presence(const struct room *room, const char *field, const char *identity);
char *v1_msg(const struct room *room, const char *from, const struct post *post);

/** Whether a name is 1 to NAME_MAX_BYTES long and without control characters. */
int name_is_good(const char *name, size_t len);

#endif
