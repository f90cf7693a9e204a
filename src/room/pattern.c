/* SPDX-License-Identifier: MIT */
/* The tree of patterns. */
#include "room/pattern.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "core/list.h"

/* The tokens of a name or pattern, of which no more are looked at than patterns have. */
struct tokens {
    unsigned count;
    bool has_more;
    struct token {
        const char *text;
        uint8_t len;
        uint64_t hash;
    } token[WSI_PATTERN_TOKENS_MAX];
};

void wsi_patterns_init(struct wsi_patterns *patterns)
{
    *patterns = (struct wsi_patterns){0};
    wsi_hash_key_init(&patterns->key);
}

void wsi_patterns_fini(struct wsi_patterns *patterns)
{
    assert(patterns->root.uses == 0);
    wsi_table_fini(&patterns->edges);
}

/* Each token is hashed once, however many nodes ask for it. */
static void split(struct tokens *tokens, const struct wsi_patterns *patterns,
                  const char *name)
{
    tokens->count = 0;
    for (;;) {
        const size_t len = strcspn(name, ".");
        struct token *token = &tokens->token[tokens->count++];

        token->text = name;
        token->len = (uint8_t)len;
        token->hash = wsi_hash(&patterns->key, name, len);
        tokens->has_more = name[len] != '\0';
        if (!tokens->has_more || tokens->count == WSI_PATTERN_TOKENS_MAX)
            return;
        name += len + 1;
    }
}

static bool is_token(const struct token *token, char c)
{
    return token->len == 1 && *token->text == c;
}

bool wsi_pattern_is_bounded(const char *pattern)
{
    unsigned tokens = 1, any = 0;

    for (const char *p = pattern; *p != '\0'; p++) {
        tokens += *p == '.';
        any += *p == '*';
    }
    return tokens <= WSI_PATTERN_TOKENS_MAX && any <= WSI_PATTERN_ANY_MAX;
}

/* ---- nodes ---- */

/* Tokens are hashed with a key already; this only has to tell the ways apart. */
static uint64_t hash_of(const struct wsi_pattern_node *parent, const struct token *token)
{
    uint64_t hash = ((parent->hash << 1 | parent->hash >> 63) + token->hash) *
                    UINT64_C(0x9e3779b97f4a7c15);

    return hash ^ hash >> 32;
}

/* @return (nullable) where a token leads. */
static struct wsi_pattern_node *child_of(const struct wsi_patterns *patterns,
                                         const struct wsi_pattern_node *parent,
                                         const struct token *token)
{
    struct wsi_table_node *edge = wsi_table_find(&patterns->edges,
                                                 hash_of(parent, token));

    while (edge != NULL) {
        struct wsi_pattern_node *node = WSI_CONTAINER_OF(edge, struct wsi_pattern_node,
                                                         node);

        if (node->parent == parent && node->len == token->len &&
            memcmp(node->token, token->text, token->len) == 0)
            return node;
        edge = wsi_table_find_next(edge);
    }
    return NULL;
}

/* @return (nullable) where a token of a pattern leads. */
static struct wsi_pattern_node *step(const struct wsi_patterns *patterns,
                                     const struct wsi_pattern_node *parent,
                                     const struct token *token)
{
    return is_token(token, '*') ? parent->any : child_of(patterns, parent, token);
}

/* @return (nullable) NULL without memory. */
static struct wsi_pattern_node *make(struct wsi_patterns *patterns,
                                     struct wsi_pattern_node *parent,
                                     const struct token *token)
{
    struct wsi_pattern_node *node = wsi_zalloc(sizeof *node + token->len);

    if (node == NULL)
        return NULL;
    node->parent = parent;
    node->hash = hash_of(parent, token);
    node->len = token->len;
    node->token = (char *)(node + 1);
    memcpy(node->token, token->text, token->len);
    if (is_token(token, '*')) {
        parent->any = node;
    } else if (wsi_table_add(&patterns->edges, &node->node, node->hash) < 0) {
        wsi_free(node);
        return NULL;
    }
    parent->uses++;
    return node;
}

/* Take out what leads nowhere. */
static void prune(struct wsi_patterns *patterns, struct wsi_pattern_node *node)
{
    while (node->uses == 0 && node->parent != NULL) {
        struct wsi_pattern_node *parent = node->parent;

        if (parent->any == node)
            parent->any = NULL;
        else
            wsi_table_remove(&patterns->edges, &node->node);
        wsi_free(node);
        parent->uses--;
        node = parent;
    }
}

/* ---- patterns ---- */

/* Where a pattern ends, as far as the tree goes its way.
 * @param missing (out) how many tokens lead on from there. */
static struct wsi_pattern_node *follow(const struct wsi_patterns *patterns,
                                       const struct tokens *tokens, unsigned *missing)
{
    const struct wsi_pattern_node *node = &patterns->root;
    const bool has_rest = is_token(&tokens->token[tokens->count - 1], '>');
    const unsigned count = tokens->count - has_rest;

    for (unsigned i = 0; i < count; i++) {
        const struct wsi_pattern_node *next = step(patterns, node, &tokens->token[i]);

        *missing = count - i;
        if (next == NULL)
            return (struct wsi_pattern_node *)(uintptr_t)node;
        node = next;
    }
    *missing = 0;
    return (struct wsi_pattern_node *)(uintptr_t)node;
}

static void **slot_of(struct wsi_pattern_node *node, const struct tokens *tokens)
{
    return is_token(&tokens->token[tokens->count - 1], '>') ? &node->rest : &node->here;
}

void *wsi_patterns_get(const struct wsi_patterns *patterns, const char *pattern)
{
    struct wsi_pattern_node *node;
    struct tokens tokens;
    unsigned missing;

    split(&tokens, patterns, pattern);
    node = follow(patterns, &tokens, &missing);
    return missing == 0 ? *slot_of(node, &tokens) : NULL;
}

int wsi_patterns_add(struct wsi_patterns *patterns, const char *pattern, void *value)
{
    struct wsi_pattern_node *node;
    struct tokens tokens;
    unsigned missing, at;

    split(&tokens, patterns, pattern);
    node = follow(patterns, &tokens, &missing);
    at = tokens.count - is_token(&tokens.token[tokens.count - 1], '>') - missing;
    for (; missing > 0; missing--) {
        struct wsi_pattern_node *next = make(patterns, node, &tokens.token[at++]);

        if (next == NULL) {
            prune(patterns, node);
            return WSOCK_ENOMEM;
        }
        node = next;
    }
    assert(*slot_of(node, &tokens) == NULL);
    *slot_of(node, &tokens) = value;
    node->uses++;
    return 0;
}

void wsi_patterns_remove(struct wsi_patterns *patterns, const char *pattern)
{
    struct wsi_pattern_node *node;
    struct tokens tokens;
    unsigned missing;

    split(&tokens, patterns, pattern);
    node = follow(patterns, &tokens, &missing);
    assert(missing == 0 && *slot_of(node, &tokens) != NULL);
    *slot_of(node, &tokens) = NULL;
    node->uses--;
    prune(patterns, node);
}

/* ---- matching ---- */

struct matching {
    const struct wsi_patterns *patterns;
    struct tokens tokens;
    void **out;
    size_t max, count;
};

static void found(struct matching *matching, void *value)
{
    if (value == NULL)
        return;
    if (matching->count < matching->max)
        matching->out[matching->count] = value;
    matching->count++;
}

/* As deep as patterns have tokens. */
static void match_from(struct matching *matching, const struct wsi_pattern_node *node,
                       unsigned at)
{
    const struct tokens *tokens = &matching->tokens;
    const struct wsi_pattern_node *next;

    if (at == tokens->count) {
        if (tokens->has_more)
            return;
        found(matching, node->here);
        return;
    }
    found(matching, node->rest);
    next = child_of(matching->patterns, node, &tokens->token[at]);
    if (next != NULL)
        match_from(matching, next, at + 1);
    if (node->any != NULL)
        match_from(matching, node->any, at + 1);
}

size_t wsi_patterns_match(const struct wsi_patterns *patterns, void **out, size_t max,
                          const char *name)
{
    struct matching matching = {.patterns = patterns, .out = out, .max = max};

    split(&matching.tokens, patterns, name);
    match_from(&matching, &patterns->root, 0);
    return matching.count;
}
