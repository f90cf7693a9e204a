/* SPDX-License-Identifier: MIT */
/*
 * Clients of rooms that say what they are told and write down all that they hear, in
 * memory and by a clock that the test moves: each test is the same in each run.
 */
#ifndef WSI_TEST_PAGES_H
#define WSI_TEST_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include <wsock/wsock.h>

enum { PAGES_MAX = 8, HEARD_MAX = 256 * 1024 };

struct page {
    wsock_client *client;
    wsock_conn *conn;
    bool is_open;
    int code; /* it was closed with; 0 while it is not */
    char reason[128];
    char heard[HEARD_MAX]; /* one message a line */
    size_t len;
};

struct pages {
    wsock_runtime *runtime;
    wsock_server *server;
    wsock_endpoint *rooms, *room; /* "/rooms", "/rooms/{room}" */
    wsock_queue *queue;           /* (nullable) of the server */
    struct page page[PAGES_MAX];
};

/** @param hooks (nullable) @param queued have hooks run on a queue. */
void pages_begin(struct pages *pages, const wsock_rooms_hooks *hooks, void *user,
                 bool queued);
/** Listen: from here on pages may open. */
void pages_listen(struct pages *pages);
void pages_end(struct pages *pages);

/** One for a path, which does not connect yet; a raw member without subprotocol. @return
 *  page[index]. */
struct page *page_make(struct pages *pages, int index, const char *path, bool raw);
/** The same, and open it. */
struct page *page_open(struct pages *pages, int index, const char *path, bool raw);
/** Have it say something, and whatever follows from it happen. */
void page_says(struct pages *pages, struct page *page, const char *text);
/** What it heard since the last time, as lines; '*' stands for any run of characters
 *  without quotes, commas or braces. */
#define page_hears(page, expected) page_check((page), (expected), __FILE__, __LINE__)
void page_check(struct page *page, const char *expected, const char *file, int line);
/** Open one and have it be somebody; what it hears of that is forgotten. */
struct page *page_enters(struct pages *pages, int index, const char *name,
                         const char *room);

#endif
