/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What can go wrong in a call. Every function that returns `int` answers 0 or a
 * positive count when it did what it says, and one of these negative codes when it
 * did not; then its outputs are untouched and it will never call back.
 *
 * What a *peer* does wrong is not an error of a call: it ends that connection, and
 * on_close says how (conn.h). Some codes are there for that and for what is to come, and
 * no call answers them yet: ECONNREFUSED, ECONNRESET, EUNREACHABLE, EHANDSHAKE,
 * EPROTOCOL.
 *
 * Each call lists the codes that it may answer. WSOCK_EINVAL for a NULL that is not
 * allowed goes without saying (types.h).
 */
#ifndef WSOCK_ERROR_H
#define WSOCK_ERROR_H

#include <wsock/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every code with its text: `X(NAME, value, text)`. Values never change. */
#define WSOCK_ERROR_MAP(X)                                              \
    X(ENOMEM, -1, "out of memory")                                      \
    X(EINVAL, -2, "invalid argument")                                   \
    X(ECLOSED, -3, "the object has ended or is ending")                 \
    X(EAGAIN, -4, "the backlog is full; wait for on_drain")             \
    X(EDEADLK, -5, "this call would wait for the thread that makes it") \
    X(EBUSY, -6, "not while this is in progress")                       \
    X(EEXIST, -7, "it exists already")                                  \
    X(ENOENT, -8, "no such thing")                                      \
    X(ERANGE, -9, "the value is outside its range")                     \
    X(ENOTSUP, -10, "not supported by this build or object")            \
    X(ETIMEDOUT, -11, "timed out")                                      \
    X(EURL, -12, "malformed or unsupported URL")                        \
    X(EOPTION, -13, "no such option")                                   \
    X(ETOOBIG, -14, "larger than the limit allows")                     \
    X(EUTF8, -15, "text is not valid UTF-8")                            \
    X(EADDRINUSE, -16, "address in use")                                \
    X(EADDRNOTAVAIL, -17, "address not available on this machine")      \
    X(EACCESS, -18, "permission denied")                                \
    X(EMFILE, -19, "too many open files")                               \
    X(ECONNREFUSED, -20, "connection refused")                          \
    X(ECONNRESET, -21, "connection reset by the peer")                  \
    X(EUNREACHABLE, -22, "network or host unreachable")                 \
    X(ERESOLVE, -23, "the host name could not be resolved")             \
    X(EHANDSHAKE, -24, "the opening handshake failed")                  \
    X(EPROTOCOL, -25, "the peer broke the protocol")                    \
    X(ESYSTEM, -26, "a system call failed")                             \
    X(ETLS, -27, "a certificate, key or setting of TLS is not usable")  \
    X(ERATE, -28, "more often than a limit of rate allows")

#define WSOCK_ERROR_CONSTANT_(name, value, text) WSOCK_##name = (value),
enum { WSOCK_ERROR_MAP(WSOCK_ERROR_CONSTANT_) };
#undef WSOCK_ERROR_CONSTANT_

/**
 * The text of a code, such as "address in use"; "no error" for 0, "unknown error" for any
 * other number.
 *
 * @return (borrowed) static text, never NULL.
 * Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_strerror(int code);

/**
 * The name of a code, such as "WSOCK_EADDRINUSE"; NULL for another number.
 *
 * @return (borrowed, nullable) static text.
 * Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_error_name(int code);

#ifdef __cplusplus
}
#endif

#endif
