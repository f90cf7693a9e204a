/* SPDX-License-Identifier: MIT */
/*
 * Rooms over the subprotocol wsock.rooms.v1 (docs/rooms-v1.md), for one endpoint. It lies
 * above the public calls: its handlers are those of an endpoint, so they run where the
 * application wants handlers to run, and what they do to rooms is what an application
 * would do. Files:
 *
 *   serve.c     an endpoint: its handlers, raw members, hooks
 *   session.c   one connection: what it sends, in order; time; its end
 *   frame.c     bytes into requests: bounds, fields
 *   requests.c  what each request needs, and what it does when it is allowed
 *   ask.c       a request as a question to the application
 *   receipt.c   the answer to what a broker has to keep first
 *   answer.c    frames out
 *
 *   message --> frame.c --> requests.c: may it? --> hook --> requests.c: do it --> answer
 *                  |                                  |
 *                  `---- waits, while a question before it is not answered
 *
 * A request is an ask from the beginning, whether anybody is asked or not.
 */
#ifndef WSI_SERVE_V1_H
#define WSI_SERVE_V1_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <wsock/conn.h>
#include <wsock/endpoint.h>
#include <wsock/room.h>
#include <wsock/rooms_v1.h>
#include <wsock/timer.h>

#include "api/server.h"
#include "conn/extra.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "core/ref.h"
#include "room/writer.h"

/* What a client sends is bounded before it costs anything. */
enum {
    WSI_V1_FRAME_MAX = 65536, /* bytes of a message */
    WSI_V1_DEPTH_MAX = 32,    /* of its JSON */
    WSI_V1_BATCH_MAX = 64,    /* frames in it */
    WSI_V1_ID_MAX = 64,       /* bytes of an id that is text */
    WSI_V1_EVENT_MAX = 64,
    WSI_V1_NAME_MAX = 64, /* of who it wants to be, of a call */
    WSI_V1_ROOM_MAX = 255,
    WSI_V1_IDENTITY_MAX = 255,
    WSI_V1_KEY_MAX = 255,
    WSI_V1_TOKEN_MAX = 16384,
    WSI_V1_HISTORY_MAX = 256,           /* messages in one answer */
    WSI_V1_HISTORY_BYTES = 1024 * 1024, /* and what they may hold, but for one */
    WSI_V1_WAITING_MAX = 1024 *
                         1024, /* bytes behind a question, where the host is slow */
    WSI_V1_BROKEN_MAX = 64,    /* messages one after the other that are no frames */
};

/* Why a connection is closed. */
enum {
    WSI_V1_CLOSE_BROKEN = 4400,
    WSI_V1_CLOSE_TOKEN = 4401,
    WSI_V1_CLOSE_REFUSED = 4403,
    WSI_V1_CLOSE_HELLO_LATE = 4408,
    WSI_V1_CLOSE_TOO_MUCH = 4429,
    WSI_V1_CLOSE_LATER = 1013,
    WSI_V1_CLOSE_FAILED = 1011,
};

/* The hooks of an endpoint, as they were set at one time. */
struct wsi_v1_hooks {
    struct wsi_ref ref;
    wsock_rooms_hooks fn;
    void *user;
    wsock_free_fn free_user;
};

/* What serves an endpoint, as long as that is there. */
struct wsi_v1_door {
    struct wsi_overlay overlay; /* with the application's on_open and on_close */
    wsock_server *server;
    struct wsi_profile *profile; /* the endpoint's */
    bool is_set_up;
    pthread_mutex_t lock;       /* what follows */
    struct wsi_v1_hooks *hooks; /* a reference, nullable: until it is set up, and once the
                                   server has stopped */
};

/* How far a connection has come. */
enum wsi_v1_stage {
    WSI_V1_NEW,     /* its hello is due */
    WSI_V1_WELCOME, /* it is somebody */
    WSI_V1_ENDED,   /* nothing is said to it any more */
};

/* A message that waits for the answer to a question before it. */
struct wsi_v1_late {
    struct wsi_list node;
    size_t len;
    int type;
    char data[];
};

/* A connection. It belongs to whatever runs its handlers. */
struct wsi_v1_session {
    struct wsi_attached attached; /* to the connection */
    struct wsi_v1_door *v1;       /* (borrowed from conn) */
    wsock_conn *conn;             /* borrowed: that keeps this */
    enum wsi_v1_stage stage;
    bool is_raw;
    bool paused;      /* reading, while a question waits */
    bool working;     /* inside wsi_v1_session_go_on() */
    bool home_is_due; /* to be joined after the hello */
    unsigned broken;  /* messages in a row */
    char *home;       /* (owned, nullable) the room of the path */
    bool has_info;    /* the hello said what the others see of it */
    char *info;       /* (owned, nullable) as JSON */
    size_t info_len;
    struct wsock_ask *waiting; /* a reference, nullable */
    json_t *batch;             /* (owned, nullable) what is being worked off, */
    size_t next;               /* from here on */
    struct wsi_list late;      /* struct wsi_v1_late, behind the batch */
    size_t late_bytes;
    wsock_timer *timer;    /* (owned, nullable) until the hello, then for heartbeats */
    wsock_timer *expiry;   /* (owned, nullable) of the token */
    wsock_timer *patience; /* (owned, nullable) for who is asked */
    struct wsi_mail cut;   /* to the worker, where there was no memory to close */
};

enum wsi_v1_kind {
    WSI_V1_HELLO = WSOCK_ASK_HELLO,
    WSI_V1_REFRESH = WSOCK_ASK_REFRESH,
    WSI_V1_JOIN = WSOCK_ASK_JOIN,
    WSI_V1_PUBLISH = WSOCK_ASK_PUBLISH,
    WSI_V1_DIRECT = WSOCK_ASK_DIRECT,
    WSI_V1_CALL = WSOCK_ASK_CALL,
    WSI_V1_LEAVE, /* nobody is asked for these */
    WSI_V1_HISTORY,
};

/* Where a question stands. */
enum { WSI_V1_ASKED, WSI_V1_AWAITED, WSI_V1_DECIDED };

/* What is said: a request's data, or what it was rewritten to. */
struct wsi_v1_data {
    int type;         /* as of wsock_ask_data() */
    const char *data; /* (borrowed, or owned) */
    size_t len;
    char *owned; /* (nullable) */
};

/* A request. */
struct wsock_ask {
    struct wsi_ref ref;             /* what uses its memory */
    struct wsi_ref handles;         /* the application's, and one while it is asked */
    struct wsi_v1_session *session; /* as long as conn is held */
    wsock_conn *conn;               /* a reference */
    struct wsi_v1_hooks *hooks;     /* a reference, nullable: of who is asked */
    json_t *object;                 /* (owned, nullable) what the fields lie in */
    enum wsi_v1_kind kind;
    const json_t *id; /* (nullable) */
    const char *room, *name, *token, *event, *key;
    struct wsi_v1_data data;
    bool has_since;
    uint64_t epoch, offset; /* of since; offset also of `before` */
    uint64_t limit;
    /* What the application says, and then who decides. */
    char *identity; /* (owned, nullable) */
    char *info;     /* (owned, nullable) */
    size_t info_len;
    bool has_info; /* it said something of that, if only that there is none */
    int64_t expiry_ms;
    atomic_bool claimed; /* somebody decides */
    bool accepted;
    bool retry;
    const char *code; /* why not */
    const char *text;
    char *owned;      /* (owned, nullable) where those lie, or the answer to a call */
    size_t owned_len; /* of the answer */
    atomic_int stage; /* WSI_V1_ASKED, ... */
    struct wsi_mail mail;
};

/* ---- serve.c ---- */

/** @return (owned, nullable) the hooks of now. */
struct wsi_v1_hooks *wsi_v1_hooks_of(struct wsi_v1_door *v1);
void wsi_v1_hooks_unref(struct wsi_v1_hooks *hooks);

/* ---- session.c; where the handlers run, as what follows but where it is said ---- */

/** Ask who a raw member is, which says no hello. */
void wsi_v1_session_hello(struct wsi_v1_session *session);
/** A connection is open. @return 0; WSOCK_ENOMEM. */
int wsi_v1_session_open(struct wsi_v1_door *v1, wsock_conn *conn);
/** @return (borrowed from conn, nullable) */
struct wsi_v1_session *wsi_v1_session_of(const wsock_conn *conn);
void wsi_v1_session_message(struct wsi_v1_session *session, int type, const void *data,
                            size_t len);
void wsi_v1_session_end(struct wsi_v1_session *session);
/** A question that it waited for is decided. */
void wsi_v1_session_answered(struct wsi_v1_session *session, struct wsock_ask *ask);
/** Close it: nothing that it sent before is looked at any more. */
void wsi_v1_session_close(struct wsi_v1_session *session, int code, const char *text);
/** It is welcome: heartbeats from now on. @return 0 or a negative code. */
int wsi_v1_session_welcome(struct wsi_v1_session *session, int64_t heartbeat_ms);
/** Its token is good for so long; 0: for ever. @return 0 or a negative code. */
int wsi_v1_session_expire(struct wsi_v1_session *session, int64_t expiry_ms);

/* ---- frame.c ---- */

/** Parse a message. @param out (out, owned) an object, or an array of some. @param code
 * (out) why not, and the sentence in *text, of text_size bytes. @return whether it is
 * one. Any thread. */
bool wsi_v1_parse(json_t **out, const char **code, char *text, size_t text_size, int type,
                  const void *data, size_t len);
/** Read the fields of a request into an ask that has its object. @return NULL, or the
 * sentence that says what is wrong, and its code. Any thread. */
const char *wsi_v1_read(struct wsock_ask *ask, const char **code);
/** Whether text is one JSON value within the bounds. Any thread. */
bool wsi_v1_is_json(const char *text, size_t len);
/** @return (owned, nullable) a value as text, with a NUL behind it; NULL without memory.
 */
char *wsi_v1_dump(const json_t *value, size_t *len);

/* ---- requests.c ---- */

/** Whether it may be asked for at all; answered when not. */
bool wsi_v1_may_ask(struct wsock_ask *ask);
/** It was allowed. */
void wsi_v1_carry_out(struct wsock_ask *ask);
/** It was not. */
void wsi_v1_turn_down(struct wsock_ask *ask);

/* ---- ask.c ---- */

/** @param object (consumed, nullable) @return (owned, nullable) NULL without memory. */
struct wsock_ask *wsi_v1_ask_new(struct wsi_v1_session *session, json_t *object);
void wsi_v1_ask_unref(struct wsock_ask *ask);
/** Ask the application, if it wants to be. @return whether it is decided. */
bool wsi_v1_consult(struct wsock_ask *ask);
/** Nobody else decides from here on. @return false when somebody did. */
bool wsi_v1_claim(struct wsock_ask *ask);
/** By who claimed it. @param code, text (borrowed, static) */
void wsi_v1_refuse(struct wsock_ask *ask, const char *code, const char *text, bool retry);

/** Run it where the handlers of a connection do. Any thread. */
void wsi_v1_post(wsock_conn *conn, struct wsi_mail *mail);

/* ---- receipt.c ---- */

/** @return (owned, nullable) what on_done is to be called with: it answers the request,
 * and frees this; NULL without memory. */
struct wsi_v1_receipt *wsi_v1_receipt_new(const struct wsock_ask *ask);
/** The message was refused, and on_done is not called. */
void wsi_v1_receipt_free(struct wsi_v1_receipt *receipt);
/** on_done of the message. Any thread. */
void wsi_v1_on_published(const wsock_published *published, void *user);

/* ---- answer.c ---- */

/** @return (owned, nullable) NULL without memory. */
json_t *wsi_v1_position(const wsock_position *at);

/** Send a frame. @param frame (consumed, nullable) NULL: there was no memory. */
void wsi_v1_send(struct wsi_v1_session *session, json_t *frame);
/** Answer a request: within {"re", "ok"} when it has an id, else by a frame of its own;
 * nothing then where the answer is only true. @param answer (consumed, nullable) */
void wsi_v1_reply(const struct wsock_ask *ask, json_t *answer);
/** The same by who writes it. */
void wsi_v1_reply_with(const struct wsock_ask *ask, wsi_frame_fn *fn, const void *what);
/** @param id (borrowed, nullable) */
void wsi_v1_reply_error(struct wsi_v1_session *session, const json_t *id,
                        const char *code, const char *text, bool retry);

#endif
