/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A WebSocket, at either end of it: sending, closing, its state.
 *
 * **Sending.** A message is accepted while `buffered` is below the high-water mark
 * (option max_backlog_bytes), so it may overshoot by one message; then sends answer
 * WSOCK_EAGAIN, and on_drain comes when half of the mark is free again. Messages leave in
 * the order of the calls of a thread; those of a room (room.h) have an order of their
 * own.
 *
 * **Two backlogs.** A server reads nothing from a connection while its backlog is full
 * (option pause_read_when_backlogged), so that who answers each message never meets
 * WSOCK_EAGAIN. A client goes on reading, and its handlers may meet it: of two ends that
 * both wait for the other to read, neither goes on, until write_timeout ends the
 * connection. Only where the peer always reads is the option one for clients too.
 *
 * **Compression** (RFC 7692) happens by itself where the option compression is on and the
 * peer agrees: messages below compression_min_bytes, and those with WSOCK_UNCOMPRESSED in
 * their type, are sent as they are. docs/compression.md tells what the modes cost, and
 * under "Secrets" what must never be compressed.
 *
 * **Doing something later** on the connection's worker, where its handlers run:
 * wsock_conn_post() below, wsock_conn_timer() in timer.h.
 */
#ifndef WSOCK_CONN_H
#define WSOCK_CONN_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The WebSocket is open. @param conn (borrowed until on_close returns) */
typedef void (*wsock_open_fn)(wsock_conn *conn, void *user);
/**
 * A whole message came.
 *
 * @param type WSOCK_TEXT (valid UTF-8, not NUL-terminated) or WSOCK_BINARY.
 * @param data (borrowed until return)
 */
typedef void (*wsock_message_fn)(wsock_conn *conn, int type, const void *data, size_t len,
                                 void *user);
/** What a part is of its message, as bits. */
enum {
    WSOCK_PART_FIRST = 1, /**< the message begins with it */
    WSOCK_PART_LAST = 2,  /**< the message ends with it */
};
/**
 * The next bytes of a message came, for receivers that want no message assembled. Parts
 * end where the peer, the network and the library happened to cut: not where frames do,
 * and in text not between characters either, though the text as a whole is valid UTF-8.
 * An empty message is one empty part; else only the last part may be empty.
 *
 * A message may fail after parts of it came: for a bad byte, or max_message_bytes, which
 * counts the whole. Then, and when the connection ends in between, its last part never
 * comes, and on_close says why.
 *
 * @param data  (borrowed until return)
 * @param flags WSOCK_PART_*, or 0.
 */
typedef void (*wsock_part_fn)(wsock_conn *conn, int type, const void *data, size_t len,
                              int flags, void *user);
/** A pong came: an answer to wsock_conn_send_ping() or to a ping of the library's (option
 *  ping_interval; those are empty), or unasked. @param data (borrowed until return) */
typedef void (*wsock_pong_fn)(wsock_conn *conn, const void *data, size_t len, void *user);
/** After a send answered WSOCK_EAGAIN: there is room again. */
typedef void (*wsock_drain_fn)(wsock_conn *conn, void *user);

/** Why a connection ended: `X(NAME, value, text)`. */
#define WSOCK_CAUSE_MAP(X)                                                       \
    X(CLOSED, 0, "closed by the closing handshake")                              \
    X(LOST, 1, "the connection was lost without a closing handshake")            \
    X(PROTOCOL, 2, "the peer broke the protocol")                                \
    X(LIMIT, 3, "the peer exceeded a limit")                                     \
    X(IDLE, 4, "nothing came for the idle timeout")                              \
    X(WRITE_STALL, 5, "the peer took no data for the write timeout")             \
    X(CLOSE_TIMEOUT, 6, "the peer did not finish the closing handshake in time") \
    X(RESET, 7, "ended at once by this end")                                     \
    X(STOPPED, 8, "cut off when the server or runtime stopped")                  \
    X(NO_MEMORY, 9, "out of memory")                                             \
    X(OVERLOAD, 10, "closed to bound the memory of the process")                 \
    X(RESOLVE, 11, "the host name could not be resolved")                        \
    X(CONNECT, 12, "the connection could not be made")                           \
    X(CONNECT_TIMEOUT, 13, "the connection was not made in time")                \
    X(HANDSHAKE, 14, "the server's answer was no valid handshake")               \
    X(REFUSED, 15, "the server answered with another status than 101")           \
    X(HANDSHAKE_TIMEOUT, 16, "the handshake was not finished in time")           \
    X(TLS, 17, "TLS with the peer failed")                                       \
    X(CERTIFICATE, 18, "the peer's certificate was not accepted")                \
    X(TLS_TIMEOUT, 19, "the TLS handshake was not finished in time")             \
    X(PONG_TIMEOUT, 20, "the peer did not answer a ping in time")                \
    X(PROXY, 21, "the proxy did not let the connection through")

#define WSOCK_CAUSE_CONSTANT_(name, value, text) WSOCK_CAUSE_##name = (value),
enum { WSOCK_CAUSE_MAP(WSOCK_CAUSE_CONSTANT_) };
#undef WSOCK_CAUSE_CONSTANT_

/** The text of a cause; "unknown cause" for another number. @return (borrowed) static
 * text. Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_cause_text(int cause);

/** Who began the end of a connection. */
enum {
    WSOCK_BY_PEER = 1, /**< its close frame, the end of its stream, its refusal */
    WSOCK_BY_US = 2,   /**< a call, a limit, a timeout, or a rule that the peer broke */
    WSOCK_BY_NETWORK = 3, /**< an error of the socket */
};

/** How a connection ended. Later versions may add members at the end: look at size. */
typedef struct wsock_close_info {
    size_t size;        /**< of this struct, in the library that filled it */
    const char *reason; /**< of the close frame, UTF-8, NUL-terminated; "" when none */
    const char *detail; /**< one sentence for people, in one line: what happened, with
                             codes, addresses, and the peer's own words */
    int32_t cause;      /**< WSOCK_CAUSE_* */
    int32_t code; /**< RFC 6455 section 7.1.5: the peer's code, 1005 for a close frame
                       without one, 1006 when no close frame came; for causes PROTOCOL and
                       LIMIT the code that was sent to the peer */
    int32_t http_status; /**< a client's: the server's status, else 0 */
    int32_t sys_errno;   /**< of the system call that failed, else 0 */
    int32_t began;       /**< WSOCK_BY_* */
    int32_t opened;      /**< 1 when it had opened, with on_open if there was one */
    int32_t tls_error;   /**< WSOCK_TLS_* (tls.h), 0 when TLS is not the reason */
    int32_t tls_alert;   /**< RFC 8446 section 6: the alert that the peer sent, else 0 */
} wsock_close_info;

/**
 * The connection has ended; the last that is heard of it, exactly once.
 *
 * @param info (borrowed until return)
 */
typedef void (*wsock_close_fn)(wsock_conn *conn, const wsock_close_info *info,
                               void *user);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_conn *wsock_conn_ref(wsock_conn *conn);

/** @param conn (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_conn_unref(wsock_conn *conn);

/** A number that no other connection of this process has or had; never 0. Thread: any.
 *  Since: 1.0 */
WSOCK_API uint64_t wsock_conn_id(const wsock_conn *conn);

/**
 * Queue one message. It leaves in order, when the socket can take it.
 *
 * @param type WSOCK_TEXT or WSOCK_BINARY, with or without WSOCK_UNCOMPRESSED.
 * @param data (borrowed until return) copied; wsock_conn_send_message() shares instead.
 * @return 0; WSOCK_EAGAIN at the high-water mark (nothing was queued; on_drain follows);
 *         WSOCK_ECLOSED before open and once closing began; WSOCK_EUTF8 for text that is
 *         not; WSOCK_ETOOBIG from 2 GiB on; WSOCK_EINVAL for the type; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_send(wsock_conn *conn, int type, const void *data, size_t len);

/** The same for a message built before (message.h): small ones are copied, large ones are
 *  shared at a server and masked into a copy at a client. @return 0; WSOCK_EAGAIN;
 *  WSOCK_ECLOSED; WSOCK_ENOMEM. Thread: any. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_conn_send_message(wsock_conn *conn, wsock_message *message);

/**
 * Begin a message that is sent in parts, for what is too large to be built, or comes
 * slowly: then wsock_conn_send_append() any number of times, and wsock_conn_send_end().
 * Other messages to the connection, those of rooms behind them, wait for its end (and
 * count in `buffered`); pings and a close frame do not.
 *
 * Each part that is not empty becomes a frame, and the end one more, unless the message
 * is compressed, whatever its size: then a frame leaves when some 16 KiB have gathered.
 * Receivers may limit the number of frames (option max_fragments). When closing begins
 * before the end, the messages that wait for it are lost.
 *
 * @param type WSOCK_TEXT or WSOCK_BINARY, with or without WSOCK_UNCOMPRESSED.
 * @return 0; WSOCK_EBUSY while another is under way; WSOCK_EAGAIN at the high-water mark
 *         (on_drain follows); WSOCK_ECLOSED as for wsock_conn_send(); WSOCK_EINVAL for
 *         the type; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_send_begin(wsock_conn *conn, int type);
/**
 * Append a part to the message that is under way. Text may be cut inside a character.
 *
 * @param data (borrowed until return) copied.
 * @return 0; WSOCK_EAGAIN at the high-water mark, for which messages that wait for the
 *         end do not count (nothing was appended; on_drain follows); WSOCK_ENOENT when no
 *         message is under way; WSOCK_EUTF8 for text that is not (nothing was appended);
 *         WSOCK_ETOOBIG from 2 GiB on; WSOCK_ECLOSED; WSOCK_ENOMEM.
 * Thread: any; parts go in the order of the calls. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_send_append(wsock_conn *conn, const void *data, size_t len);
/**
 * End it. There is no way to abandon a message: who cannot finish one closes the
 * connection.
 *
 * @return 0; WSOCK_ENOENT when none is under way; WSOCK_EUTF8 when the text ends inside a
 *         character (it is still under way); WSOCK_ECLOSED; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_send_end(wsock_conn *conn);

/**
 * Send a ping of the application's; on_pong brings the answer. Not held up by the
 * high-water mark.
 *
 * @param data (borrowed until return, nullable) at most 125 bytes.
 * @return 0; WSOCK_ETOOBIG; WSOCK_ECLOSED as for wsock_conn_send(); WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_send_ping(wsock_conn *conn, const void *data, size_t len);

/** Send a pong that answers nothing (RFC 6455 section 5.5.3), as a sign of life; pings
 * are answered without it. As wsock_conn_send_ping(). */
WSOCK_API int wsock_conn_send_pong(wsock_conn *conn, const void *data, size_t len);

/**
 * Begin the closing handshake: what was sent before still leaves, also what the caller
 * said in rooms of which it is a member, then the close frame; the peer has the option
 * close_timeout to answer. on_close follows. (On a queue whose host is too busy to take
 * what came before the answer, ten times that; the socket is gone then, and on_close
 * comes when the host dispatches.) A message in parts that has begun and not ended stops
 * where it is, and the messages that wait for its end are lost.
 *
 * @param code   1000 to 1003, 1007 to 1014 or 3000 to 4999; or 1005 to send none.
 * @param reason (borrowed until return, nullable) UTF-8, at most 123 bytes.
 * @return 0; WSOCK_ECLOSED when closing began before; WSOCK_ERANGE for the code;
 *         WSOCK_EINVAL for a reason with 1005; WSOCK_ETOOBIG; WSOCK_EUTF8; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. A client's connection that is not open yet is given
 * up. Since: 1.0
 */
WSOCK_API int wsock_conn_close(wsock_conn *conn, int code, const char *reason);

/** End it at once, without a handshake and dropping what waits; on_close follows. Also
 * after wsock_conn_close(), when its handshake takes too long. @return 0; WSOCK_ECLOSED
 * once it has ended; WSOCK_ENOMEM. Thread: any. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_conn_reset(wsock_conn *conn);

/**
 * Bytes that this end accepted for the connection and the kernel has not taken yet:
 * frames with their headers, wherever they wait, also those of rooms that may still be
 * dropped (which do not count for the high-water mark); over TLS those that are encrypted
 * already, as they are then. 0 says that the kernel has all that was sent, not that the
 * peer has. A message from another thread counts twice for the moment in which the worker
 * takes it over, so a send may meet WSOCK_EAGAIN that much early; on_drain follows.
 *
 * Thread: any. Since: 1.0
 */
WSOCK_API size_t wsock_conn_buffered(const wsock_conn *conn);

/**
 * Stop reading, by count: as many resumes as pauses let it go on. After a call from the
 * connection's own worker no on_message comes; after one from elsewhere some may still
 * come. The idle timeout does not run meanwhile, and what the peer sends, its pongs and
 * close frame included, waits.
 *
 * @return 0; WSOCK_ECLOSED once closing began; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_pause_read(wsock_conn *conn);
/** Take one pause back. As above. */
WSOCK_API int wsock_conn_resume_read(wsock_conn *conn);

/**
 * The application's state of this connection. The former one is freed; the last one when
 * the connection's memory goes.
 *
 * @param user      (owned) if there is a free_user.
 * @param free_user (nullable)
 * @return 0.
 * Thread: any, but who still uses the former pointer is the application's to know.
 * Since: 1.0
 */
WSOCK_API int wsock_conn_set_user(wsock_conn *conn, void *user, wsock_free_fn free_user);
/** @return (borrowed until set again, nullable) what was set last. Thread: any.
 * Since: 1.0 */
WSOCK_API void *wsock_conn_get_user(const wsock_conn *conn);

/** Something to do for wsock_conn_post(). @param conn (borrowed until return) */
typedef void (*wsock_post_fn)(wsock_conn *conn, void *user);
/**
 * Call fn once on the connection's worker, between its handlers and never inside this
 * call; also before it is open and while it closes. When the connection has ended first,
 * only free_user is called.
 *
 * @param free_user (nullable) called after fn.
 * @return 0; WSOCK_EAGAIN while 65,536 calls wait at its worker (no on_drain follows);
 *         WSOCK_ECLOSED once it has ended; WSOCK_ENOMEM; WSOCK_EINVAL.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_conn_post(wsock_conn *conn, wsock_post_fn fn, void *user,
                              wsock_free_fn free_user);

/** The request that opened it. @return (borrowed from conn, nullable) NULL for a client's
 *  connection. Thread: any. Since: 1.0 */
WSOCK_API wsock_request *wsock_conn_request(wsock_conn *conn);
/** The subprotocol that was agreed on, "" when none and before open. @return (borrowed
 * from conn) Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_conn_subprotocol(const wsock_conn *conn);
/**
 * The extensions that were agreed on, as the server's answer names them, such as
 * "permessage-deflate; server_no_context_takeover"; "" when none, before open, and for a
 * connection that failed before it opened. What it answers once open stays when it ends.
 *
 * @param out  (out) NUL-terminated.
 * @param size of out; 160 is enough for what this library offers.
 * @return the length; WSOCK_ETOOBIG; WSOCK_EINVAL. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_conn_extensions(const wsock_conn *conn, char *out, size_t size);
/** A header field of the server's answer, one that refuses included; NULL when there is
 *  none, before there is an answer, and at a server. @return (borrowed from conn,
 * nullable) Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_conn_response_header(const wsock_conn *conn,
                                                 const char *name);
/**
 * Walk through the header fields of the server's answer, repeated names included; also of
 * an answer that refuses (cause REFUSED) or agrees to what was not asked for (cause
 * HANDSHAKE), once the connection has ended.
 *
 * @param name  (out, borrowed from conn)
 * @param value (out, borrowed from conn)
 * @param index from 0.
 * @return 0; WSOCK_ENOENT beyond the last, before there is an answer, and at a server;
 *         WSOCK_EINVAL. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_conn_response_field_at(const wsock_conn *conn, const char **name,
                                           const char **value, size_t index);
/**
 * The body of an answer that refuses (cause REFUSED), once the connection has ended: at
 * most so many bytes as the option max_refusal_bytes says, and what came of them in time.
 * A body in chunks (Transfer-Encoding) is not kept.
 *
 * @param data (out, borrowed from conn)
 * @param len  (out) 1 or more.
 * @return 0; WSOCK_ENOENT when there is none; WSOCK_EINVAL. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_conn_response_body(const wsock_conn *conn, const void **data,
                                       size_t *len);
/** The peer's address; at a server the client's, as wsock_request_remote_address(), also
 * behind proxies that are listed; "" before open. @return
 * (borrowed from conn) Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_conn_remote_address(const wsock_conn *conn);
/**
 * The address of this end of it: "192.0.2.1:8080", "[2001:db8::1]:8080",
 * "unix:/run/x.sock", or "unix:" for a socket without a name. At a listener for all
 * addresses it is the one that the peer reached; what a proxy tells does not count. ""
 * before open, and for a client's connection that got no answer.
 *
 * @return (borrowed from conn) Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_conn_local_address(const wsock_conn *conn);
/**
 * Where a client's connection leads: the URL of its client as it was given, with a user
 * and a password if it has them; after redirects (option max_redirects) the last one that
 * was followed, also when the connection failed there. "" before it opened or ended, and
 * at a server.
 *
 * @return (borrowed from conn) Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_conn_url(const wsock_conn *conn);
/**
 * The round-trip time: from the last ping that the library sent (option ping_interval) to
 * its pong, in microseconds. It is taken on the worker, so a handler that keeps that busy
 * makes it longer.
 *
 * @return 1 or more; WSOCK_ENOENT before the first pong; WSOCK_EINVAL for NULL.
 * Thread: any. Since: 1.0
 */
WSOCK_API int64_t wsock_conn_rtt_us(const wsock_conn *conn);
/** 1 from on_open until closing begins, else 0. Thread: any. Since: 1.0 */
WSOCK_API int wsock_conn_is_open(const wsock_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
