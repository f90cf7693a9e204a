/* SPDX-License-Identifier: MIT */
/*
 * Which endpoint takes a path. A pattern is a path whose segments are literals or
 * captures:
 * "/chat/{room}"; "{rest...}" as the last segment takes one or more segments, as they
 * are. The table is a trie by segment, so matching costs what the path costs. Filling it
 * is for one thread; once it is fixed, any number of threads may match.
 *
 * Patterns are written decoded ("/a b"); a path is compared segment by segment as if
 * decoded, so that %2F stays inside its segment. A trailing slash makes another path:
 * "/a" and
 * "/a/" differ, and so does what they match. Where several patterns match, the first
 * segment in which they differ decides: a literal before {name} before {rest...}.
 *
 * A path matches nothing if it does not begin with '/', has a malformed escape or one for
 * NUL, or a segment that is "." or ".." once decoded (there, %2F parts segments too). An
 * empty segment (but for the last) matches only inside {rest...}, and not as its first.
 */
#ifndef WSI_CONN_ROUTE_H
#define WSI_CONN_ROUTE_H

#include <stddef.h>

#include "core/str.h"

enum { WSI_CAPTURES_MAX = 16 }; /* of one pattern */

/** What a capture took. */
struct wsi_capture {
    const char *name; /* (borrowed from the table), NUL-terminated */
    struct wsi_str
        value; /* (borrowed from the path), still percent-encoded, well-formed */
};

struct wsi_route_node;

/** All zero is an empty table. */
struct wsi_routes {
    struct wsi_route_node *root;
};

void wsi_routes_init(struct wsi_routes *routes);
/** Leaves the values alone. */
void wsi_routes_fini(struct wsi_routes *routes);

/**
 * Add a pattern: at most 1023 bytes, beginning with '/', without '?', '#', '%', control
 * characters, segments "." and "..", and empty segments but the last; names are
 * [A-Za-z_][A-Za-z0-9_]*, unique in the pattern, and a capture fills its segment.
 *
 * @param value    (borrowed) not NULL; what wsi_routes_match() answers.
 * @param existing (out, nullable) the value of the same pattern, set with WSOCK_EEXIST
 * only if the pattern is identical; else NULL.
 * @return 0; WSOCK_EEXIST when the pattern, or one of its shape with other names, is
 * there; WSOCK_EINVAL for a malformed pattern or more than WSI_CAPTURES_MAX captures;
 *         WSOCK_ENOMEM. On failure the table answers as before.
 */
int wsi_routes_add(struct wsi_routes *routes, const char *pattern, void *value,
                   void **existing);

/**
 * Find the value of a path.
 *
 * @param captures (out) WSI_CAPTURES_MAX of them, in the order of the pattern.
 * @param count    (out) how many; both are meaningless when nothing matched.
 * @param path     still percent-encoded, without the query.
 * @return NULL when nothing matches.
 */
void *wsi_routes_match(const struct wsi_routes *routes, struct wsi_capture *captures,
                       unsigned *count, struct wsi_str path);

/** The value of an identical pattern, NULL when there is none. */
void *wsi_routes_get(const struct wsi_routes *routes, const char *pattern);

#endif
