/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Options are set by name: wsock_server_set(server, "max_message_bytes", "1MiB"). This is
 * the list of them all, for programs that offer them to their users. docs/options.md is
 * made from it.
 *
 * Sizes take B, KiB, MiB, GiB (and K, M, G for the same); times take ms, s, min, h; a
 * number alone is in the option's unit. Booleans take true, false, yes, no, on, off, 1,
 * 0. "off" turns off a limit that allows it, "auto" lets the library choose.
 */
#ifndef WSOCK_OPTION_H
#define WSOCK_OPTION_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What takes an option, as bits. An option of servers and endpoints is the default of
 * the server's endpoints when it is set on the server; one of servers and rooms that of
 * the rooms that it makes from then on (room.h). */
enum {
    WSOCK_SCOPE_RUNTIME = 1,
    WSOCK_SCOPE_SERVER = 2,
    WSOCK_SCOPE_ENDPOINT = 4,
    WSOCK_SCOPE_CLIENT = 8,
    WSOCK_SCOPE_ROOM = 16,
};

/** What its value is. */
enum {
    WSOCK_OPTION_COUNT = 1,
    WSOCK_OPTION_BYTES = 2,
    WSOCK_OPTION_MS = 3,
    WSOCK_OPTION_BOOL = 4,
    WSOCK_OPTION_STRING = 5,
    WSOCK_OPTION_CHOICE = 6, /**< one of the words; as a number: which, from 0 */
};

/** One option. Later versions may add members at the end: look at size. */
typedef struct wsock_option_info {
    size_t size;           /**< set it to sizeof before the call */
    const char *name;      /**< static */
    const char *text;      /**< static, one line */
    const char *words;     /**< static; stand for 0, 1, ..., divided by '|': of a choice
                                all its values; else "off" (no limit), "auto" or "" */
    int64_t value_default; /**< in the type's unit */
    int64_t value_default_client; /**< of WSOCK_SCOPE_CLIENT; nearly always the same */
    int64_t value_min;
    int64_t value_max;
    int32_t scope;    /**< bits of WSOCK_SCOPE_* */
    int32_t type;     /**< WSOCK_OPTION_* */
    int32_t is_live;  /**< 1: takes effect on what runs already */
    int32_t reserved; /**< 0 */
} wsock_option_info;

/**
 * Tell one option of the table.
 *
 * @param info  (out) size must be set; it is lowered to what this library fills.
 * @param index from 0.
 * @return 0; WSOCK_ENOENT beyond the last; WSOCK_EINVAL for a size smaller than that
 * of 1.0. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_option_at(wsock_option_info *info, size_t index);

#ifdef __cplusplus
}
#endif

#endif
