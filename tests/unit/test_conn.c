/* SPDX-License-Identifier: MIT */
/* A whole exchange (handshake, echo, closing) in both roles, cut, stalled and broken at
 * every byte. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "stage.h"

/* What the peer sends in an exchange, and what it must get; both are the same however the
 * bytes travel. */
struct play {
    enum wsi_role role;
    struct script_peer in;   /* only its input is used */
    struct script_bytes out; /* of an undisturbed run */
    const char *seen;
};

static struct stage stage;

static struct wsock_conn *begin(const struct play *play, struct script_peer *peer)
{
    stage_begin(&stage, 1);
    stage.echo = true;
    return play->role == WSI_SERVER ? stage_accept(&stage, peer, 0)
                                    : stage_connect(&stage, peer);
}

static void feed_play(struct script_peer *peer, enum wsi_role role)
{
    void (*const feed)(struct script_peer *, unsigned, const void *,
                       size_t) = role == WSI_SERVER ? stage_feed_masked
                                                    : stage_feed_plain;
    const char *head = role == WSI_SERVER ? stage_request : stage_answer;

    script_feed(peer, head, strlen(head));
    feed(peer, 0x81, "hello", 5);
    feed(peer, 0x89, "p", 1);
    feed(peer, 0x02, "\x00\x01", 2);
    feed(peer, 0x8a, NULL, 0);
    feed(peer, 0x80, "\x02", 1);
    feed(peer, 0x88,
         "\x03\xe9"
         "done",
         6);
    peer->eof = true;
}

static void make_play(struct play *play, enum wsi_role role)
{
    struct script_peer peer;
    /* Key and masks are 16 and 4 bytes of the fixed random source: 0, 1, 2, ... */
    static const char from_client[] = "\x81\x85\x10\x11\x12\x13\x78\x74\x7e\x7f\x7f"
                                      "\x8a\x81\x14\x15\x16\x17\x64"
                                      "\x82\x83\x18\x19\x1a\x1b\x18\x18\x18"
                                      "\x88\x82\x1c\x1d\x1e\x1f\x1f\xf4";
    static const char from_server[] = "\x81\x05hello"
                                      "\x8a\x01p"
                                      "\x82\x03\x00\x01\x02"
                                      "\x88\x02\x03\xe9";
    const bool is_server = role == WSI_SERVER;
    const char *head = is_server ? stage_accepted : stage_asked;

    memset(play, 0, sizeof *play);
    play->role = role;
    play->seen = "open | text hello | pong  | binary 000102 | closed CLOSED 1001 done";
    play->out.len = strlen(head) + (is_server ? sizeof from_server : sizeof from_client) -
                    1;
    play->out.data = malloc(play->out.len);
    assert_non_null(play->out.data);
    memcpy(play->out.data, head, strlen(head));
    memcpy(play->out.data + strlen(head), is_server ? from_server : from_client,
           play->out.len - strlen(head));
    feed_play(&play->in, role);

    begin(play, &peer);
    feed_play(&peer, role);
    stage_ended(&stage, &peer);
    stage_saw(&stage, play->seen);
    stage_end(&stage);
}

static void free_play(struct play *play)
{
    free(play->in.input.data);
    free(play->out.data);
}

static void undisturbed_exchange_is_right(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++) {
        struct script_peer peer;
        struct play play;

        make_play(&play, role == 0 ? WSI_SERVER : WSI_CLIENT);
        begin(&play, &peer);
        feed_play(&peer, play.role);
        stage_settle(&stage);
        stage_sent_bytes(&peer, play.out.data, play.out.len);
        assert_true(script_fin(&peer));
        stage_ended(&stage, &peer);
        stage_saw(&stage, play.seen);
        stage_end(&stage);
        free_play(&play);
    }
}

/* Runs the play under conditions that must not change it. The peer's FIN, which ends a
 * client's closing handshake, comes when all is sent. */
static void same(const struct play *play, void (*set)(struct script_peer *, size_t),
                 size_t n)
{
    struct script_peer peer;

    begin(play, &peer);
    feed_play(&peer, play->role);
    peer.eof = false;
    set(&peer, n);
    stage_settle(&stage);
    if (peer.write_room == 0) {
        assert_int_equal(peer.output.len, n);
        assert_memory_equal(peer.output.data, play->out.data, n);
        peer.write_room = SCRIPT_UNLIMITED;
        stage_settle(&stage);
    }
    stage_sent_bytes(&peer, play->out.data, play->out.len);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, play->seen);
    stage_end(&stage);
}

static void take_little(struct script_peer *peer, size_t n)
{
    peer->write_max = n;
}

static void give_little(struct script_peer *peer, size_t n)
{
    peer->read_max = n;
}

static void fail_often(struct script_peer *peer, size_t n)
{
    peer->read_again = (unsigned)n;
    peer->read_max = 1;
}

static void short_reads_and_writes_of_every_size_change_nothing(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++) {
        struct play play;

        make_play(&play, role == 0 ? WSI_SERVER : WSI_CLIENT);
        for (size_t n = 1; n <= play.out.len; n++)
            same(&play, take_little, n);
        for (size_t n = 1; n <= play.in.input.len; n++)
            same(&play, give_little, n);
        same(&play, fail_often, 5);
        free_play(&play);
    }
}

static void take_up_to(struct script_peer *peer, size_t n)
{
    peer->write_room = n;
}

static void socket_that_blocks_at_any_byte_changes_nothing(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++) {
        struct play play;

        make_play(&play, role == 0 ? WSI_SERVER : WSI_CLIENT);
        for (size_t n = 0; n < play.out.len; n++)
            same(&play, take_up_to, n);
        free_play(&play);
    }
}

/* Events may be cut short, but the end is told exactly once, if anything was (clients:
 * always), and nothing is left behind. */
static void assert_told_once(const struct play *play)
{
    const char *text = stage.seen.text != NULL ? stage.seen.text : "";
    const char *open = strstr(text, "open");
    const char *closed = strstr(text, "closed ");

    if (open != NULL || play->role == WSI_CLIENT) {
        assert_non_null(closed);
        assert_null(strstr(closed + 1, "closed "));
        assert_null(strchr(closed, '|'));
    } else {
        assert_string_equal(text, "");
    }
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
}

static void break_reading(struct script_peer *peer, size_t n)
{
    peer->read_resets = n;
}

static void break_writing(struct script_peer *peer, size_t n)
{
    peer->write_resets = n;
}

static void stop_reading(struct script_peer *peer, size_t n)
{
    peer->input.len = n;
}

static void broken(const struct play *play, void (*set)(struct script_peer *, size_t),
                   size_t n)
{
    struct script_peer peer;
    size_t sent;

    begin(play, &peer);
    feed_play(&peer, play->role);
    set(&peer, n);
    stage_settle(&stage);
    stage_run(&stage, 5000); /* an end without the peer's FIN */
    sent = peer.output.len;
    if (play->role == WSI_CLIENT || sent < 14 ||
        memcmp(peer.output.data, "HTTP/1.1 101 ", 13) == 0) {
        assert_true(sent <= play->out.len);
        assert_memory_equal(peer.output.data, play->out.data, sent);
    }
    stage_ended(&stage, &peer);
    assert_told_once(play);
    stage_end(&stage);
}

static void connection_that_breaks_at_any_byte_ends_once(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++) {
        struct play play;

        make_play(&play, role == 0 ? WSI_SERVER : WSI_CLIENT);
        for (size_t n = 0; n < play.in.input.len; n++) {
            broken(&play, break_reading, n);
            broken(&play, stop_reading, n);
        }
        for (size_t n = 0; n < play.out.len; n++)
            broken(&play, break_writing, n);
        free_play(&play);
    }
}

/* ---- memory ---- */

static void exchange_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++)
        for (int ever = 0; ever < 2; ever++) {
            size_t refused = 1;
            struct play play;

            make_play(&play, role == 0 ? WSI_SERVER : WSI_CLIENT);
            for (size_t n = 1; refused > 0; n++) {
                struct script_peer peer;

                begin(&play, &peer);
                feed_play(&peer, play.role);
                peer.read_max = 7; /* frames and head are gathered from pieces */
                test_fail_allocation(n, ever);
                stage_settle(&stage);
                stage_run(&stage, 60000);
                refused = test_stop_failing();
                stage_ended(&stage, &peer);
                if (refused == 0)
                    stage_saw(&stage, play.seen);
                else
                    assert_told_once(&play);
                stage_end(&stage);
            }
            free_play(&play);
        }
}

static void connection_is_not_made_without_memory(void **state)
{
    struct wsock_conn *conn;
    int r = 0;

    (void)state;
    stage_begin(&stage, 1);
    FOR_EACH_OOM(r,
                 r = wsi_conn_new(&conn, stage.worker, &stage.service.owner,
                                  &stage.endpoint, WSI_CLIENT),
                 {
                     wsi_pool_release(&stage.pool);
                     wsock_conn_unref(conn);
                 });
    stage_end(&stage);
}

/* ---- what outlives it ---- */

static int freed;

static void count_free(void *user)
{
    assert_ptr_equal(user, &freed);
    freed++;
}

static void handle_outlives_its_connection(void **state)
{
    struct script_peer peer;
    struct wsock_conn *conn;

    (void)state;
    freed = 0;
    stage_begin(&stage, 1);
    conn = wsock_conn_ref(stage_accept_open(&stage, &peer));
    atomic_store(&conn->user, &freed);
    conn->free_user = count_free;
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "open | closed RESET 1006");
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_CLOSED);
    assert_int_equal(freed, 0);
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsi_conn_close(conn, 0, NULL, 0), WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    assert_int_equal(freed, 1);
    stage_end(&stage);
}

static void handle_keeps_nothing_of_what_was_received(void **state)
{
    struct script_peer peer;
    struct wsock_conn *conn;
    size_t live;

    (void)state;
    stage_begin(&stage, 1);
    conn = wsock_conn_ref(stage_accept_open(&stage, &peer));
    live = test_live_blocks();
    stage_feed_masked(&peer, 0x01, "half a message", 14);
    script_feed(&peer, "\x89\x85\1\2\3\4p", 7); /* and a part of a ping */
    stage_settle(&stage);
    assert_true(test_live_blocks() > live);
    wsi_conn_pause(conn, WSI_PAUSE_USER);
    wsi_conn_receive(conn, (uint8_t[]){0x8a}, 1); /* is held */
    stage_drop(&stage, conn, &peer);
    assert_int_equal(test_live_blocks(), live); /* the connection and its facts */
    wsock_conn_unref(conn);
    stage_saw(&stage, "open | closed RESET 1006");
    stage_end(&stage);
}

static void ids_are_never_used_twice(void **state)
{
    struct script_peer peer;
    uint64_t last = 0;

    (void)state;
    stage_begin(&stage, 1);
    for (int i = 0; i < 5; i++) {
        struct wsock_conn *conn = stage_accept_open(&stage, &peer);

        assert_true(conn->id > last);
        last = conn->id;
        stage_drop(&stage, conn, &peer);
    }
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(undisturbed_exchange_is_right),
        TEST(short_reads_and_writes_of_every_size_change_nothing),
        TEST(socket_that_blocks_at_any_byte_changes_nothing),
        TEST(connection_that_breaks_at_any_byte_ends_once),
        TEST(exchange_survives_every_failed_allocation),
        TEST(connection_is_not_made_without_memory),
        TEST(handle_outlives_its_connection),
        TEST(handle_keeps_nothing_of_what_was_received),
        TEST(ids_are_never_used_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
