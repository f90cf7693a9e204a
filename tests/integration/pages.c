/* SPDX-License-Identifier: MIT */
/* Clients of rooms in memory. */
#include "pages.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

static void on_open(wsock_conn *conn, void *user)
{
    struct page *page = user;

    page->conn = wsock_conn_ref(conn);
    page->is_open = true;
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct page *page = user;

    (void)conn;
    (void)type;
    if (page->len + len + 2 > sizeof page->heard)
        return; /* what is expected does not stand there */
    memcpy(page->heard + page->len, data, len);
    page->len += len;
    page->heard[page->len++] = '\n';
    page->heard[page->len] = '\0';
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct page *page = user;

    (void)conn;
    page->is_open = false;
    page->code = info->code;
    snprintf(page->reason, sizeof page->reason, "%s", info->reason);
}

void pages_begin(struct pages *pages, const wsock_rooms_hooks *hooks, void *user,
                 bool queued)
{
    memset(pages, 0, sizeof *pages);
    assert_int_equal(wsock_testing_new(&pages->runtime, 1), 0);
    assert_int_equal(wsock_server_new(pages->runtime, &pages->server), 0);
    if (queued) {
        assert_int_equal(wsock_runtime_queue(pages->runtime, &pages->queue), 0);
        assert_int_equal(wsock_server_set_queue(pages->server, pages->queue), 0);
    }
    assert_int_equal(wsock_server_endpoint(pages->server, &pages->rooms, "/rooms"), 0);
    assert_int_equal(wsock_server_endpoint(pages->server, &pages->room, "/rooms/{room}"),
                     0);
    assert_int_equal(wsock_endpoint_serve_rooms(pages->rooms, hooks, user, NULL), 0);
    assert_int_equal(wsock_endpoint_serve_rooms(pages->room, hooks, user, NULL), 0);
}

void pages_listen(struct pages *pages)
{
    assert_int_equal(wsock_server_listen(pages->server, "ws://rooms"), 0);
}

void pages_end(struct pages *pages)
{
    for (int i = 0; i < PAGES_MAX; i++) {
        wsock_conn_unref(pages->page[i].conn);
        wsock_client_unref(pages->page[i].client);
    }
    wsock_endpoint_unref(pages->rooms);
    wsock_endpoint_unref(pages->room);
    wsock_server_free(pages->server);
    wsock_queue_unref(pages->queue);
    wsock_runtime_free(pages->runtime);
}

struct page *page_make(struct pages *pages, int index, const char *path, bool raw)
{
    struct page *page = &pages->page[index];
    char url[256];

    snprintf(url, sizeof url, "ws://rooms%s", path);
    assert_int_equal(wsock_runtime_client(pages->runtime, &page->client, url), 0);
    if (!raw)
        wsock_client_add_subprotocol(page->client, "wsock.rooms.v1");
    wsock_client_on_open(page->client, on_open, page, NULL);
    wsock_client_on_message(page->client, on_message, page, NULL);
    wsock_client_on_close(page->client, on_close, page, NULL);
    return page;
}

struct page *page_open(struct pages *pages, int index, const char *path, bool raw)
{
    struct page *page = page_make(pages, index, path, raw);

    assert_int_equal(wsock_client_connect(page->client, NULL), 0);
    assert_int_equal(wsock_testing_run(pages->runtime), 0);
    return page;
}

void page_says(struct pages *pages, struct page *page, const char *text)
{
    assert_int_equal(wsock_conn_send(page->conn, WSOCK_TEXT, text, strlen(text)), 0);
    assert_int_equal(wsock_testing_run(pages->runtime), 0);
}

/* @return where they part, or NULL. */
static const char *differs(const char *heard, const char *expected)
{
    for (; *expected != '\0'; expected++) {
        if (*expected == '*') {
            heard += strcspn(heard, "\",{}[]\n");
            continue;
        }
        if (*heard != *expected)
            return heard;
        heard++;
    }
    return *heard != '\0' ? heard : NULL;
}

void page_check(struct page *page, const char *expected, const char *file, int line)
{
    const char *where = differs(page->heard, expected);

    if (where != NULL) {
        print_error("%s:%d: heard\n%s---- and not\n%s---- from: %.40s\n", file, line,
                    page->heard, expected, where);
        fail();
    }
    page->len = 0;
    page->heard[0] = '\0';
}

struct page *page_enters(struct pages *pages, int index, const char *name,
                         const char *room)
{
    struct page *page = page_open(pages, index, "/rooms", false);
    char text[256];

    snprintf(text, sizeof text,
             "[{\"type\":\"hello\",\"name\":\"%s\"},{\"type\":\"join\",\"room\":\"%s\"}]",
             name, room);
    page_says(pages, page, text);
    page->len = 0;
    page->heard[0] = '\0';
    return page;
}
