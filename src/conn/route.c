/* SPDX-License-Identifier: MIT */
/*
 * The trie of patterns. A node stands for a way to spell the first segments of a pattern;
 * its literal children are sorted, so that a segment is found by bisection. A match tries
 * the literal, the capture and the tail in this order and steps back where it must: how
 * often is bounded by how many nodes the application's patterns made, whatever the path.
 */
#include "conn/route.h"

#include <assert.h>
#include <stdbool.h>

#include <wsock/error.h>

#include "conn/percent.h"
#include "core/alloc.h"

enum { PATTERN_MAX = 1024 }; /* bounds the depth of the recursion below */

/* Where a pattern ends. */
struct leaf {
    void *value;
    char *pattern;
    unsigned count;
    const char *names[]; /* of its captures; they and the pattern stand behind it */
};

struct wsi_route_node {
    struct wsi_route_node **children; /* by literal, sorted */
    size_t child_count;
    struct wsi_route_node *capture; /* nullable; what follows "{name}" */
    struct leaf *leaf;              /* nullable; of the pattern that ends here */
    struct leaf *tail; /* nullable; of the pattern that ends in "{rest...}" */
    size_t len;
    char literal[];
};

enum kind { LITERAL, CAPTURE, TAIL };

struct segment {
    enum kind kind;
    struct wsi_str text; /* the literal, or the name */
};

/* ---- patterns ---- */

/* Take a segment of a checked pattern; *rest is NULL behind the last. */
static struct segment take_segment(const char **rest)
{
    const char *start = *rest;
    const size_t len = strcspn(start, "/");

    *rest = start[len] == '/' ? start + len + 1 : NULL;
    if (start[0] != '{')
        return (struct segment){LITERAL, {start, len}};
    if (len > 5 && memcmp(start + len - 4, "...}", 4) == 0)
        return (struct segment){TAIL, {start + 1, len - 5}};
    return (struct segment){CAPTURE, {start + 1, len - 2}};
}

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return len > 0;
}

static bool is_literal(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F || strchr("?#%{}", text[i]))
            return false;
    return !(len == 1 && text[0] == '.') && !(len == 2 && memcmp(text, "..", 2) == 0);
}

static bool is_segment(const char *text, size_t len, bool is_last)
{
    if (len == 0)
        return is_last;
    if (text[0] != '{')
        return is_literal(text, len);
    if (text[len - 1] != '}')
        return false;
    if (len > 5 && memcmp(text + len - 4, "...}", 4) == 0)
        return is_last && is_name(text + 1, len - 5);
    return is_name(text + 1, len - 2);
}

/* The names of a pattern's captures. @return how many. */
static unsigned list_names(const char *pattern, struct wsi_str names[WSI_CAPTURES_MAX])
{
    const char *rest = pattern + 1;
    unsigned count = 0;

    while (rest != NULL) {
        const struct segment segment = take_segment(&rest);

        if (segment.kind != LITERAL && count < WSI_CAPTURES_MAX)
            names[count] = segment.text;
        count += segment.kind != LITERAL;
    }
    return count;
}

static int check_pattern(const char *pattern)
{
    struct wsi_str names[WSI_CAPTURES_MAX];
    const char *p = pattern;
    unsigned count;

    if (p == NULL || *p != '/' || strnlen(p, PATTERN_MAX) == PATTERN_MAX)
        return WSOCK_EINVAL;
    while (*p == '/') {
        const size_t len = strcspn(p + 1, "/");

        if (!is_segment(p + 1, len, p[1 + len] == '\0'))
            return WSOCK_EINVAL;
        p += 1 + len;
    }
    count = list_names(pattern, names);
    if (count > WSI_CAPTURES_MAX)
        return WSOCK_EINVAL;
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (wsi_str_equal(names[i], names[j]))
                return WSOCK_EINVAL;
    return 0;
}

/* ---- the trie ---- */

static struct leaf *new_leaf(const char *pattern, void *value)
{
    struct wsi_str names[WSI_CAPTURES_MAX];
    const unsigned count = list_names(pattern, names);
    const size_t len = strlen(pattern) + 1;
    struct leaf *leaf = wsi_alloc(sizeof *leaf + count * sizeof leaf->names[0] + 2 * len);
    char *text;

    if (leaf == NULL)
        return NULL;
    leaf->value = value;
    leaf->count = count;
    leaf->pattern = (char *)(leaf->names + count);
    memcpy(leaf->pattern, pattern, len);
    text = leaf->pattern + len;
    for (unsigned i = 0; i < count; i++) {
        leaf->names[i] = text;
        memcpy(text, names[i].ptr, names[i].len);
        text += names[i].len;
        *text++ = '\0';
    }
    return leaf;
}

static struct wsi_route_node *new_node(struct wsi_str literal)
{
    struct wsi_route_node *node = wsi_zalloc(sizeof *node + literal.len);

    if (node != NULL) {
        node->len = literal.len;
        memcpy(node->literal, literal.ptr, literal.len);
    }
    return node;
}

static void free_node(struct wsi_route_node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->child_count; i++)
        free_node(node->children[i]);
    free_node(node->capture);
    wsi_free(node->children);
    wsi_free(node->leaf);
    wsi_free(node->tail);
    wsi_free(node);
}

/* The order of a node's literal and a segment that may be percent-encoded. */
static int compare(const struct wsi_route_node *node, struct wsi_str segment,
                   bool encoded)
{
    size_t i = 0;

    for (; segment.len > 0; i++) {
        int byte = (unsigned char)*segment.ptr;

        if (encoded) {
            byte = wsi_percent_take(&segment);
        } else {
            segment.ptr++;
            segment.len--;
        }
        if (i == node->len)
            return -1;
        if (byte != (unsigned char)node->literal[i])
            return (unsigned char)node->literal[i] < byte ? -1 : 1;
    }
    return i < node->len;
}

/* Where the literal stands among the children, or would. */
static size_t bisect(const struct wsi_route_node *node, struct wsi_str segment,
                     bool encoded, bool *found)
{
    size_t low = 0, high = node->child_count;

    *found = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare(node->children[middle], segment, encoded);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct wsi_route_node *find_child(const struct wsi_route_node *node,
                                         struct wsi_str segment, bool encoded)
{
    bool found;
    const size_t at = bisect(node, segment, encoded, &found);

    return found ? node->children[at] : NULL;
}

static int attach(struct wsi_route_node *node, const struct segment *segment,
                  struct wsi_route_node *child)
{
    struct wsi_route_node **children;
    bool found;
    size_t at;

    if (segment->kind == CAPTURE) {
        node->capture = child;
        return 0;
    }
    at = bisect(node, segment->text, false, &found);
    assert(!found);
    children = wsi_realloc(node->children, (node->child_count + 1) * sizeof *children);
    if (children == NULL)
        return WSOCK_ENOMEM;
    memmove(children + at + 1, children + at,
            (node->child_count - at) * sizeof *children);
    children[at] = child;
    node->children = children;
    node->child_count++;
    return 0;
}

static int put_leaf(struct leaf **slot, const char *pattern, void *value, void **existing)
{
    assert(pattern != NULL);
    if (*slot != NULL) {
        if (existing != NULL)
            *existing = strcmp((*slot)->pattern, pattern) == 0 ? (*slot)->value : NULL;
        return WSOCK_EEXIST;
    }
    *slot = new_leaf(pattern, value);
    return *slot != NULL ? 0 : WSOCK_ENOMEM;
}

/* A new branch is complete before it is attached, so that a failure leaves no trace. */
static int plant(struct wsi_route_node *node, const char *rest, const char *pattern,
                 void *value, void **existing)
{
    struct wsi_route_node *child;
    struct segment segment;
    int r;

    if (rest == NULL)
        return put_leaf(&node->leaf, pattern, value, existing);
    segment = take_segment(&rest);
    if (segment.kind == TAIL)
        return put_leaf(&node->tail, pattern, value, existing);
    child = segment.kind == CAPTURE ? node->capture
                                    : find_child(node, segment.text, false);
    if (child != NULL)
        return plant(child, rest, pattern, value, existing);
    child = new_node(segment.kind == LITERAL ? segment.text : WSI_STR(""));
    if (child == NULL)
        return WSOCK_ENOMEM;
    r = plant(child, rest, pattern, value, existing);
    if (r == 0)
        r = attach(node, &segment, child);
    if (r < 0)
        free_node(child);
    return r;
}

void wsi_routes_init(struct wsi_routes *routes)
{
    routes->root = NULL;
}

void wsi_routes_fini(struct wsi_routes *routes)
{
    free_node(routes->root);
    routes->root = NULL;
}

int wsi_routes_add(struct wsi_routes *routes, const char *pattern, void *value,
                   void **existing)
{
    struct wsi_route_node *root = routes->root;
    int r = check_pattern(pattern);

    if (r < 0)
        return r;
    assert(value != NULL);
    if (root == NULL)
        root = new_node(WSI_STR(""));
    if (root == NULL)
        return WSOCK_ENOMEM;
    r = plant(root, pattern + 1, pattern, value, existing);
    if (r < 0 && routes->root == NULL)
        free_node(root);
    else
        routes->root = root;
    return r;
}

void *wsi_routes_get(const struct wsi_routes *routes, const char *pattern)
{
    const struct wsi_route_node *node = routes->root;
    const struct leaf *leaf;
    const char *rest;
    bool is_tail = false;

    if (check_pattern(pattern) < 0)
        return NULL;
    rest = pattern + 1;
    while (node != NULL && rest != NULL && !is_tail) {
        const struct segment segment = take_segment(&rest);

        is_tail = segment.kind == TAIL;
        if (segment.kind == LITERAL)
            node = find_child(node, segment.text, false);
        else if (segment.kind == CAPTURE)
            node = node->capture;
    }
    if (node == NULL)
        return NULL;
    assert(pattern != NULL);
    leaf = is_tail ? node->tail : node->leaf;
    return leaf != NULL && strcmp(leaf->pattern, pattern) == 0 ? leaf->value : NULL;
}

/* ---- paths ---- */

/* Escapes are well-formed, none is NUL, and no segment is "." or "..". An encoded slash
 * parts segments here, so that what a capture took is no way up either. */
static bool is_path(struct wsi_str path)
{
    size_t len = 0; /* of the segment so far */
    bool dots = true;

    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    while (path.len > 0) {
        const int byte = wsi_percent_take(&path);

        if (byte <= 0)
            return false;
        if (byte == '/') {
            if (dots && (len == 1 || len == 2))
                return false;
            len = 0;
            dots = true;
        } else {
            len++;
            dots = dots && byte == '.';
        }
    }
    return !(dots && (len == 1 || len == 2));
}

/* What matches the rest of a path below a node; NULL behind its last segment. */
static const struct leaf *match(const struct wsi_route_node *node,
                                const struct wsi_str *rest, struct wsi_capture *captures,
                                unsigned count)
{
    const struct wsi_route_node *child;
    const struct leaf *leaf = NULL;
    struct wsi_str segment, behind;
    const char *slash;

    if (rest == NULL)
        return node->leaf;
    segment = *rest;
    slash = rest->len > 0 ? memchr(rest->ptr, '/', rest->len) : NULL;
    if (slash != NULL) {
        segment.len = (size_t)(slash - rest->ptr);
        behind = (struct wsi_str){slash + 1, rest->len - segment.len - 1};
    }
    child = find_child(node, segment, true);
    if (child != NULL)
        leaf = match(child, slash != NULL ? &behind : NULL, captures, count);
    if (leaf != NULL || segment.len == 0)
        return leaf;
    if (node->capture != NULL) {
        captures[count].value = segment;
        leaf = match(node->capture, slash != NULL ? &behind : NULL, captures, count + 1);
    }
    if (leaf == NULL && node->tail != NULL) {
        captures[count].value = *rest;
        leaf = node->tail;
    }
    return leaf;
}

void *wsi_routes_match(const struct wsi_routes *routes, struct wsi_capture *captures,
                       unsigned *count, struct wsi_str path)
{
    const struct leaf *leaf;
    struct wsi_str rest;

    if (routes->root == NULL || !is_path(path))
        return NULL;
    rest = (struct wsi_str){path.ptr + 1, path.len - 1};
    leaf = match(routes->root, &rest, captures, 0);
    if (leaf == NULL)
        return NULL;
    for (unsigned i = 0; i < leaf->count; i++)
        captures[i].name = leaf->names[i];
    *count = leaf->count;
    return leaf->value;
}
