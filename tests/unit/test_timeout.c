/* SPDX-License-Identifier: MIT */
/* What time does to a connection, to the millisecond, on a clock that the test turns. */
#include "test.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/opening.h"
#include "conn/send.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;

static void set(struct wsi_profile *profile, const char *name, const char *value)
{
    assert_int_equal(wsi_options_set(&profile->options, name, value, true, NULL, 0), 0);
}

/* Most have a peer that answers no ping. */
static void begin(void)
{
    stage_begin(&stage, 1);
    conn = stage_accept_open(&stage, &peer);
    set(&stage.endpoint, "pong_timeout", "off");
    stage_saw(&stage, "open");
}

static void begin_client(void)
{
    stage_begin(&stage, 1);
    conn = stage_connect_open(&stage, &peer);
    set(&stage.remote.profile, "pong_timeout", "off");
    stage_saw(&stage, "open");
}

/* Nothing for all but the last millisecond of `ms`; then these events. */
static void saw_after(uint64_t ms, const char *events)
{
    stage_run(&stage, ms - 1);
    stage_saw(&stage, "");
    stage_run(&stage, 1);
    stage_saw(&stage, events);
}

static void ends_after(uint64_t ms, const char *events)
{
    saw_after(ms, events);
    stage_ended(&stage, &peer);
    stage_end(&stage);
}

/* ---- silence ---- */

static void ping_goes_out_after_25_seconds_of_silence(void **state)
{
    (void)state;
    begin();
    stage_run(&stage, 24999);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    stage_sent(&peer, "\x89\x00");
    stage_run(&stage, 24999);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    stage_sent(&peer, "\x89\x00");
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

static void client_pings_too_and_masks_it(void **state)
{
    (void)state;
    begin_client();
    stage_fix_random(&stage);
    stage_run(&stage, 24999);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    stage_sent(&peer, "\x89\x80\x00\x01\x02\x03");
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

static void silent_connection_ends_after_60_seconds(void **state)
{
    (void)state;
    begin();
    ends_after(60000, "closed IDLE 1006");
}

static void silent_server_ends_after_60_seconds(void **state)
{
    (void)state;
    begin_client();
    ends_after(60000, "closed IDLE 1006");
}

static void pong_puts_ping_and_end_off(void **state)
{
    (void)state;
    begin();
    stage_run(&stage, 50000);
    stage_sent(&peer, "\x89\x00\x89\x00");
    stage_feed_masked(&peer, 0x8a, NULL, 0);
    stage_settle(&stage);
    stage_saw(&stage, "pong ");
    stage_run(&stage, 24999);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    stage_sent(&peer, "\x89\x00");
    ends_after(35000, "closed IDLE 1006");
}

static void half_a_frame_puts_the_end_off_as_well(void **state)
{
    (void)state;
    begin();
    stage_run(&stage, 30000);
    script_feed(&peer, "\x81", 1);
    stage_settle(&stage);
    ends_after(60000, "closed IDLE 1006");
}

static void connection_that_is_not_read_is_never_idle(void **state)
{
    (void)state;
    begin();
    stage_run(&stage, 10000);
    wsi_conn_pause(conn, WSI_PAUSE_USER);
    stage_run(&stage, 10 * 60000);
    stage_saw(&stage, "");
    wsi_conn_resume(conn, WSI_PAUSE_USER);
    ends_after(60000, "closed IDLE 1006");
}

static void limits_that_are_off_never_come(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    set(&stage.endpoint, "idle_timeout", "off");
    set(&stage.endpoint, "ping_interval", "off");
    conn = stage_accept_open(&stage, &peer);
    stage_saw(&stage, "open");
    stage_run(&stage, 48 * 3600 * UINT64_C(1000));
    stage_sent(&peer, "");
    stage_saw(&stage, "");
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

static void changed_limit_acts_on_open_connections(void **state)
{
    (void)state;
    begin();
    stage_run(&stage, 2000);
    set(&stage.endpoint, "idle_timeout", "5s");
    wsi_timeouts_changed(&stage.pool);
    ends_after(3000, "closed IDLE 1006");
}

/* ---- pings and their answers ---- */

static void begin_with_pongs(void)
{
    begin();
    set(&stage.endpoint, "pong_timeout", "20s");
}

static void ping_without_answer_ends_it_after_20_seconds(void **state)
{
    (void)state;
    begin_with_pongs();
    stage_run(&stage, 25000);
    stage_sent(&peer, "\x89\x00");
    ends_after(20000, "closed PONG_TIMEOUT 1006");
}

static void pings_wait_for_the_answer_to_the_one_before(void **state)
{
    (void)state;
    begin_with_pongs();
    set(&stage.endpoint, "ping_interval", "1s");
    wsi_timeouts_changed(&stage.pool);
    stage_run(&stage, 10000);
    stage_sent(&peer, "\x89\x00");
    ends_after(11000, "closed PONG_TIMEOUT 1006");
}

static void answered_ping_is_followed_by_the_next_in_its_time(void **state)
{
    (void)state;
    begin_with_pongs();
    set(&stage.endpoint, "ping_interval", "1s");
    wsi_timeouts_changed(&stage.pool);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, i == 0 ? 999 : 989);
        stage_sent(&peer, "");
        stage_run(&stage, i == 0 ? 1 : 11);
        stage_sent(&peer, "\x89\x00");
        stage_run(&stage, 10);
        stage_feed_masked(&peer, 0x8a, NULL, 0);
        stage_settle(&stage);
    }
    stage_saw(&stage, "pong  | pong  | pong ");
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

static void anything_that_comes_answers_a_ping(void **state)
{
    (void)state;
    begin_with_pongs();
    stage_run(&stage, 25000 + 19999);
    script_feed(&peer, "\x81", 1);
    stage_settle(&stage);
    /* Silence begins anew: a ping after 25 s, and 20 s for its answer. */
    ends_after(45000, "closed PONG_TIMEOUT 1006");
}

static void who_is_not_read_need_not_answer(void **state)
{
    (void)state;
    begin_with_pongs();
    wsi_conn_pause(conn, WSI_PAUSE_USER);
    stage_run(&stage, 10 * 60000);
    stage_saw(&stage, "");
    wsi_conn_resume(conn, WSI_PAUSE_USER);
    ends_after(45000, "closed PONG_TIMEOUT 1006");
}

static void ping_that_cannot_leave_is_not_waited_for(void **state)
{
    (void)state;
    begin_with_pongs();
    peer.write_room = 0;
    set(&stage.endpoint, "write_timeout", "off");
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "late", 4), 0);
    ends_after(60000, "closed IDLE 1006");
}

static void round_trip_time_is_from_our_ping_to_its_pong(void **state)
{
    (void)state;
    begin_with_pongs();
    assert_int_equal(atomic_load(&conn->rtt_us), 0);
    stage_feed_masked(&peer, 0x8a, NULL, 0); /* unasked */
    stage_settle(&stage);
    stage_saw(&stage, "pong ");
    assert_int_equal(atomic_load(&conn->rtt_us), 0);
    stage_run(&stage, 25000);
    stage_sent(&peer, "\x89\x00");
    stage_run(&stage, 3);
    stage_feed_masked(&peer, 0x8a, "x", 1); /* to a ping of the application's */
    stage_settle(&stage);
    assert_int_equal(atomic_load(&conn->rtt_us), 0);
    stage_run(&stage, 4);
    stage_feed_masked(&peer, 0x8a, NULL, 0);
    stage_settle(&stage);
    assert_int_equal(atomic_load(&conn->rtt_us), 7000);
    stage_feed_masked(&peer, 0x8a, NULL, 0);
    stage_settle(&stage);
    assert_int_equal(atomic_load(&conn->rtt_us), 7000);
    stage_saw(&stage, "pong x | pong  | pong ");
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

/* ---- a peer that does not read ---- */

static void peer_that_takes_nothing_is_cut_off_after_30_seconds(void **state)
{
    (void)state;
    begin();
    stage_run(&stage, 1000);
    peer.write_room = 0;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "late", 4), 0);
    ends_after(30000, "closed WRITE_STALL 1006");
}

static void progress_puts_the_cut_off(void **state)
{
    (void)state;
    begin();
    set(&stage.endpoint, "idle_timeout", "off");
    peer.write_room = 1;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "late", 4), 0);
    stage_run(&stage, 20000);
    stage_sent(&peer, "\x81");
    peer.write_room = 1; /* one byte in 20 s is progress */
    stage_settle(&stage);
    stage_sent(&peer, "\x04");
    ends_after(30000, "closed WRITE_STALL 1006");
}

static void nothing_is_added_to_what_the_peer_does_not_take(void **state)
{
    (void)state;
    begin();
    set(&stage.endpoint, "write_timeout", "off");
    peer.write_room = 0;
    assert_int_equal(wsi_conn_send(conn, WSI_OP_TEXT, "late", 4), 0);
    stage_run(&stage, 59999); /* two pings would be due */
    assert_int_equal(wsi_conn_buffered(conn), 6);
    peer.write_room = SCRIPT_UNLIMITED;
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x04late");
    ends_after(1, "closed IDLE 1006");
}

/* ---- closing ---- */

static void peer_that_does_not_answer_a_close_is_cut_off_after_5_seconds(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_conn_close(conn, 1000, "bye", 3), 0);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x05\x03\xe8"
                      "bye");
    assert_false(script_fin(&peer));
    ends_after(5000, "closed CLOSE_TIMEOUT 1006");
}

static void closed_peer_that_keeps_its_socket_is_cut_off_after_5_seconds(void **state)
{
    (void)state;
    begin();
    stage_feed_masked(&peer, 0x88, "\x03\xe8", 2);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x02\x03\xe8");
    assert_true(script_fin(&peer));
    ends_after(5000, "closed CLOSED 1000");
}

static void closed_server_that_keeps_its_socket_is_cut_off_after_5_seconds(void **state)
{
    (void)state;
    begin_client();
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    stage_settle(&stage);
    stage_feed_plain(&peer, 0x88, "\x03\xe8", 2);
    stage_settle(&stage);
    assert_false(script_fin(&peer)); /* the server is to end it, RFC 6455 7.1.1 */
    ends_after(5000, "closed CLOSED 1000");
}

static void dripping_data_does_not_stretch_the_closing(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_conn_close(conn, 1000, NULL, 0), 0);
    for (int i = 0; i < 49; i++) {
        stage_run(&stage, 100);
        stage_feed_masked(&peer, 0x82, "\xff", 1);
    }
    stage_settle(&stage);
    stage_saw(&stage, "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff | binary ff | "
                      "binary ff | binary ff | binary ff | binary ff");
    ends_after(100, "closed CLOSE_TIMEOUT 1006");
}

static void stopping_server_gives_its_time_and_no_more(void **state)
{
    (void)state;
    begin();
    wsi_service_stop(&stage.service, 2000);
    stage_settle(&stage);
    stage_sent(&peer, "\x88\x0c\x03\xe9going away");
    ends_after(2000, "closed STOPPED 1006");
}

/* ---- opening ---- */

static void silent_visitor_gets_408_after_10_seconds(void **state)
{
    static const char answer[] = "HTTP/1.1 408 Request Timeout\r\n"
                                 "Connection: close\r\n"
                                 "Content-Type: text/plain; charset=utf-8\r\n"
                                 "Content-Length: 26\r\n"
                                 "\r\n"
                                 "the request took too long\n";

    (void)state;
    stage_begin(&stage, 1);
    stage_accept(&stage, &peer, 0);
    stage_run(&stage, 9999);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    stage_sent_bytes(&peer, answer, sizeof answer - 1);
    assert_true(script_fin(&peer));
    /* It may read that for 5 s, and is then cut off. */
    stage_run(&stage, WSI_LINGER_MS - 1);
    assert_int_equal(atomic_load(&stage.service.alive), 1);
    stage_run(&stage, 1);
    assert_int_equal(atomic_load(&stage.service.alive), 0);
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    stage_end(&stage);
}

static void dripping_request_gets_408_all_the_same(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    stage_accept(&stage, &peer, 0);
    for (int i = 0; i < 99; i++) {
        script_feed(&peer, &stage_request[i], 1);
        stage_run(&stage, 100);
    }
    stage_run(&stage, 99);
    stage_sent(&peer, "");
    stage_run(&stage, 1);
    assert_memory_equal(peer.output.data, "HTTP/1.1 408 ", 13);
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    stage_end(&stage);
}

static void keep_request(wsock_request *request, void *user)
{
    (void)user;
    wsock_conn_ref(wsi_conn_of_request(request));
}

static void unanswered_request_gets_503_after_30_seconds(void **state)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                 "Connection: close\r\n"
                                 "Content-Type: text/plain; charset=utf-8\r\n"
                                 "Content-Length: 39\r\n"
                                 "\r\n"
                                 "the application did not answer in time\n";

    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_REQUEST,
                                    (union wsi_handler_fn){.request = keep_request}, true,
                                    NULL, NULL),
                     0);
    conn = stage_accept(&stage, &peer, 0);
    script_feed(&peer, stage_request, strlen(stage_request));
    stage_run(&stage, 29999);
    stage_sent(&peer, "");
    stage_saw(&stage, "");
    stage_run(&stage, 1);
    stage_sent_bytes(&peer, answer, sizeof answer - 1);
    stage_saw(&stage, "cancelled");
    peer.eof = true;
    stage_ended(&stage, &peer);
    stage_saw(&stage, "");
    wsock_conn_unref(conn);
    stage_end(&stage);
}

static void server_that_does_not_answer_is_given_up_after_10_seconds(void **state)
{
    (void)state;
    stage_begin(&stage, 1);
    stage_connect(&stage, &peer);
    stage_settle(&stage);
    script_feed(&peer, "HTTP/1.1 101 ", 13);
    ends_after(10000, "closed HANDSHAKE_TIMEOUT 1006");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ping_goes_out_after_25_seconds_of_silence),
        TEST(client_pings_too_and_masks_it),
        TEST(silent_connection_ends_after_60_seconds),
        TEST(silent_server_ends_after_60_seconds),
        TEST(pong_puts_ping_and_end_off),
        TEST(half_a_frame_puts_the_end_off_as_well),
        TEST(connection_that_is_not_read_is_never_idle),
        TEST(limits_that_are_off_never_come),
        TEST(ping_without_answer_ends_it_after_20_seconds),
        TEST(pings_wait_for_the_answer_to_the_one_before),
        TEST(answered_ping_is_followed_by_the_next_in_its_time),
        TEST(anything_that_comes_answers_a_ping),
        TEST(who_is_not_read_need_not_answer),
        TEST(ping_that_cannot_leave_is_not_waited_for),
        TEST(round_trip_time_is_from_our_ping_to_its_pong),
        TEST(changed_limit_acts_on_open_connections),
        TEST(peer_that_takes_nothing_is_cut_off_after_30_seconds),
        TEST(progress_puts_the_cut_off),
        TEST(nothing_is_added_to_what_the_peer_does_not_take),
        TEST(peer_that_does_not_answer_a_close_is_cut_off_after_5_seconds),
        TEST(closed_peer_that_keeps_its_socket_is_cut_off_after_5_seconds),
        TEST(closed_server_that_keeps_its_socket_is_cut_off_after_5_seconds),
        TEST(dripping_data_does_not_stretch_the_closing),
        TEST(stopping_server_gives_its_time_and_no_more),
        TEST(silent_visitor_gets_408_after_10_seconds),
        TEST(dripping_request_gets_408_all_the_same),
        TEST(unanswered_request_gets_503_after_30_seconds),
        TEST(server_that_does_not_answer_is_given_up_after_10_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
