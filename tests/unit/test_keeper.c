/* SPDX-License-Identifier: MIT */
/*
 * The client that keeps a connection up, in a time of its own: when it connects again, to
 * the millisecond, when it gives up, and what becomes of messages. How a connection is
 * made is the test's to say: it stands in for wsi_reaching_start().
 */
#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/opening.h"
#include "conn/posted.h"
#include "conn/send.h"
#include "conn/send_parts.h"
#include "stage.h"

enum { PEERS = 16 };

static struct stage stage;
static struct wsi_keeper *keeper;
static struct script_peer peers[PEERS];
static unsigned connected;          /* peers that were used */
static unsigned attempts;           /* all of them */
static int fails;                   /* with this cause; 0: a peer takes it */
static uint64_t delay;              /* of the last WAITING */
static char detail[128];            /* of the last end */
static void (*on_state)(int state); /* nullable: afterwards */
static void (*on_open)(struct wsock_conn *conn);

void __wrap_wsi_reaching_start(struct wsock_conn *conn);

void __wrap_wsi_reaching_start(struct wsock_conn *conn)
{
    attempts++;
    if (fails != 0) {
        wsi_connecting_fail(conn, fails, "nobody listens");
        return;
    }
    assert_true(connected < PEERS);
    stage_reach(&stage, conn, &peers[connected++]);
}

static void saw_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    static const char *const names[] = {NULL, "CONNECTING", "OPEN", "WAITING", "CLOSED"};
    const bool has_ended = info->state >= WSOCK_STATE_WAITING;

    (void)user;
    assert_ptr_equal(client, &stage.remote);
    assert_int_equal(info->size, sizeof *info);
    assert_int_equal(info->why != NULL, has_ended);
    if (has_ended) {
        test_transcript_add(&stage.seen, "%s %d %d", names[info->state],
                            (int)info->attempt, (int)info->why->cause);
        snprintf(detail, sizeof detail, "%s", info->why->detail);
    } else {
        test_transcript_add(&stage.seen, "%s %d", names[info->state], (int)info->attempt);
    }
    if (info->state == WSOCK_STATE_WAITING)
        delay = (uint64_t)info->delay_ms;
    else
        assert_int_equal(info->delay_ms, 0);
    if (on_state != NULL)
        on_state(info->state);
}

static void saw_open(wsock_conn *conn, void *user)
{
    (void)user;
    test_transcript_add(&stage.seen, "open");
    if (on_open != NULL)
        on_open(conn);
}

static void set(const char *name, const char *value)
{
    assert_int_equal(
        wsi_options_set(&stage.remote.profile.options, name, value, false, NULL, 0), 0);
}

static void begin(void)
{
    stage_begin(&stage, 1);
    keeper = &stage.remote.keeper;
    connected = attempts = 0;
    fails = 0;
    on_state = NULL;
    on_open = NULL;
    wsi_profile_on(&stage.remote.profile, &stage.pool, WSI_ON_STATE,
                   (union wsi_handler_fn){.state = saw_state}, true, NULL, NULL);
    wsi_profile_on(&stage.remote.profile, &stage.pool, WSI_ON_OPEN,
                   (union wsi_handler_fn){.open = saw_open}, true, NULL, NULL);
    set("reconnect_delay", "100ms");
    set("reconnect_max_delay", "1000ms");
}

static void forget(void)
{
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
}

static void start(void)
{
    assert_int_equal(wsi_keeper_start(keeper), 0);
    stage_settle(&stage);
}

static void stop(void)
{
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
    stage_settle(&stage);
}

/* What the next draw gives, if nothing else is drawn before. */
static void draw(uint64_t value)
{
    struct wsi_random *random = &stage.worker->random;

    random->used = 0;
    memcpy(random->pool, &value, sizeof value);
}

static struct script_peer *peer(void)
{
    assert_true(connected > 0);
    return &peers[connected - 1];
}

static void answer(void)
{
    script_feed(peer(), stage_answer, strlen(stage_answer));
    stage_settle(&stage);
    stage_sent_bytes(peer(), stage_asked, strlen(stage_asked));
}

/* Start and open. */
static void come_up(void)
{
    start();
    answer();
    stage_saw(&stage, "CONNECTING 1 | OPEN 1 | open");
}

/* The peer's side of the connection breaks; the next wait is as long as that. */
static void cut(uint64_t wait_ms)
{
    draw(wait_ms);
    peer()->eof = true;
    stage_ended(&stage, peer());
}

static void peer_closes(unsigned code)
{
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};

    stage_feed_plain(peer(), 0x88, payload, sizeof payload);
    peer()->eof = true;
    stage_ended(&stage, peer());
}

/* End it from WAITING. */
static void finish(void)
{
    stop();
    forget();
    stage_end(&stage);
}

/* ---- waiting ---- */

static void bound_of_the_wait_doubles_up_to_its_maximum(void **state)
{
    static const uint64_t bounds[] = {100, 200, 400, 800, 1000, 1000, 1000};

    (void)state;
    begin();
    fails = WSOCK_CAUSE_CONNECT;
    draw(100); /* the most that it may be */
    start();
    for (unsigned i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        assert_int_equal(attempts, i + 1);
        assert_int_equal(delay, bounds[i]);
        stage_run(&stage, bounds[i] - 1);
        assert_int_equal(attempts, i + 1);
        draw(bounds[i + 1 < 7 ? i + 1 : 6]);
        stage_run(&stage, 1);
    }
    assert_int_equal(attempts, 8);
    finish();
}

static void what_is_beyond_the_bound_comes_around(void **state)
{
    (void)state;
    begin();
    fails = WSOCK_CAUSE_RESOLVE;
    draw(101 + 7);
    start();
    assert_int_equal(delay, 7);
    stage_saw(&stage, "CONNECTING 1 | closed RESOLVE 1006 | WAITING 1 11");
    assert_string_equal(detail, "nobody listens");
    finish();
}

static void waits_are_spread_over_all_of_the_range(void **state)
{
    enum { DRAWS = 2000, BOUND = 1000 };
    unsigned tenth[10] = {0};

    (void)state;
    begin();
    fails = WSOCK_CAUSE_CONNECT;
    set("reconnect_delay", "1000ms");
    start();
    for (int i = 0; i < DRAWS; i++) {
        const unsigned before = attempts;

        assert_in_range(delay, 0, BOUND);
        tenth[delay / 101]++;
        do
            wsi_loop_turn(stage.loop, BOUND);
        while (attempts == before);
        forget();
    }
    assert_int_equal(attempts, 1 + DRAWS);
    for (int i = 0; i < 10; i++) /* 200 each; a hundred less is seven deviations off */
        assert_in_range(tenth[i], 100, 300);
    finish();
}

static void wait_of_nothing_connects_in_the_next_turn(void **state)
{
    (void)state;
    begin();
    set("reconnect_attempts", "3");
    set("reconnect_delay", "1ms");
    set("reconnect_max_delay", "1ms");
    fails = WSOCK_CAUSE_CONNECT;
    memset(stage.worker->random.pool, 0, sizeof stage.worker->random.pool);
    stage.worker->random.used = 0;
    start();
    stage_run(&stage, 1); /* each draw gives 0 */
    stage_saw(&stage, "CONNECTING 1 | closed CONNECT 1006 | WAITING 1 12 | "
                      "CONNECTING 2 | closed CONNECT 1006 | WAITING 2 12 | "
                      "CONNECTING 3 | closed CONNECT 1006 | WAITING 3 12 | "
                      "CONNECTING 4 | closed CONNECT 1006 | CLOSED 4 12");
    stage_end(&stage);
}

/* One millisecond decides whether the backoff begins anew. */
static void stable_connection_begins_the_backoff_anew(void **state)
{
    (void)state;
    begin();
    set("reconnect_stable_time", "5s");
    set("ping_interval", "off");
    come_up();
    cut(100);
    stage_saw(&stage, "closed LOST 1006 | WAITING 1 1");
    stage_run(&stage, 100);
    answer();
    stage_run(&stage, 4999);
    cut(200);
    stage_saw(&stage, "CONNECTING 2 | OPEN 2 | open | closed LOST 1006 | WAITING 2 1");
    assert_int_equal(delay, 200);
    stage_run(&stage, 200);
    answer();
    stage_run(&stage, 5000);
    cut(100);
    stage_saw(&stage, "CONNECTING 3 | OPEN 3 | open | closed LOST 1006 | WAITING 1 1");
    assert_int_equal(delay, 100);
    stage_run(&stage, 99);
    stage_saw(&stage, "");
    stage_run(&stage, 1);
    stage_saw(&stage, "CONNECTING 2");
    answer();
    cut(200);
    assert_int_equal(delay, 200);
    finish();
}

static void attempts_end_with_the_last_failure(void **state)
{
    (void)state;
    begin();
    set("reconnect_attempts", "2");
    come_up();
    stage_run(&stage, 10 * 1000); /* stable: the two are for after this */
    fails = WSOCK_CAUSE_CONNECT;
    cut(0);
    stage_run(&stage, 1000);
    stage_saw(&stage, "closed LOST 1006 | WAITING 1 1 | "
                      "CONNECTING 2 | closed CONNECT 1006 | WAITING 2 12 | "
                      "CONNECTING 3 | closed CONNECT 1006 | CLOSED 3 12");
    stage_end(&stage);
}

/* ---- Retry-After ---- */

static void refuse(const char *head, uint64_t drawn)
{
    draw(drawn);
    script_feed(peer(), head, strlen(head));
    stage_ended(&stage, peer());
}

static void server_may_ask_for_a_longer_wait(void **state)
{
    static const struct {
        const char *head;
        uint64_t wait_ms;
    } cases[] = {
        {"HTTP/1.1 503 x\r\nRetry-After: 7\r\n\r\n", 7003},
        {"HTTP/1.1 429 x\r\nRetry-After: 0\r\n\r\n", 3},
        {"HTTP/1.1 429 x\r\nRetry-After: 3600\r\n\r\n", 3600003},
        {"HTTP/1.1 503 x\r\nRetry-After: 3601\r\n\r\n", 3600003},
        {"HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999999\r\n\r\n", 3600003},
        {"HTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n", 3},
        {"HTTP/1.1 503 x\r\nRetry-After:\r\n\r\n", 3},
        {"HTTP/1.1 503 x\r\n\r\n", 3},
        {"HTTP/1.1 500 x\r\nRetry-After: 7\r\n\r\n", 3},
    };

    (void)state;
    begin();
    start();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuse(cases[i].head, 3);
        assert_int_equal(delay, cases[i].wait_ms);
        stage_run(&stage, delay - 1);
        assert_int_equal(attempts, i + 1);
        stage_run(&stage, 1);
        assert_int_equal(attempts, i + 2);
    }
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
    stage_ended(&stage, peer());
    forget();
    stage_end(&stage);
}

/* ---- ends for good ---- */

/* How it stands after the peer closed with this code. */
static void after_close(const char *list, unsigned code, const char *seen)
{
    begin();
    set("reconnect_stop", list);
    come_up();
    peer_closes(code);
    stage_saw(&stage, seen);
    if (strstr(seen, "WAITING") != NULL)
        stop();
    forget();
    stage_end(&stage);
}

static void some_closes_are_for_good(void **state)
{
    (void)state;
    after_close("", 1001, "closed CLOSED 1001 | WAITING 1 0");
    after_close("", 1000, "closed CLOSED 1000 | WAITING 1 0");
    after_close("", 1012, "closed CLOSED 1012 | WAITING 1 0");
    after_close("", 4000, "closed CLOSED 4000 | WAITING 1 0");
    after_close("", 1008, "closed CLOSED 1008 | CLOSED 1 0");
    after_close("none", 1008, "closed CLOSED 1008 | WAITING 1 0");
    after_close("4000-4099", 4050, "closed CLOSED 4050 | CLOSED 1 0");
    after_close("4000-4099", 1008, "closed CLOSED 1008 | WAITING 1 0");
}

static void after_refusal(const char *list, const char *head, const char *seen)
{
    begin();
    set("reconnect_stop", list);
    start();
    refuse(head, 0x7fffffff);
    stage_saw(&stage, seen);
    if (strstr(seen, "WAITING") != NULL)
        stop();
    forget();
    stage_end(&stage);
}

static void some_refusals_are_for_good(void **state)
{
    static const char gone[] = "CONNECTING 1 | closed REFUSED 1006 | CLOSED 1 15";
    static const char waits[] = "CONNECTING 1 | closed REFUSED 1006 | WAITING 1 15";

    (void)state;
    after_refusal("", "HTTP/1.1 404 Not Found\r\n\r\n", gone);
    after_refusal("", "HTTP/1.1 401 Unauthorized\r\n\r\n", gone);
    after_refusal("", "HTTP/1.1 502 Bad Gateway\r\n\r\n", waits);
    after_refusal("", "HTTP/1.1 429 x\r\nRetry-After: 1\r\n\r\n", waits);
    after_refusal("none", "HTTP/1.1 404 Not Found\r\n\r\n", waits);
    after_refusal("500-599", "HTTP/1.1 502 Bad Gateway\r\n\r\n", gone);
    after_refusal("1006", "HTTP/1.1 502 Bad Gateway\r\n\r\n", waits); /* of open ones */
}

static void certificate_that_is_not_accepted_is_for_good(void **state)
{
    (void)state;
    begin();
    fails = WSOCK_CAUSE_CERTIFICATE;
    start();
    stage_saw(&stage, "CONNECTING 1 | closed CERTIFICATE 1006 | CLOSED 1 18");
    set("reconnect_stop", "404");
    start();
    stage_saw(&stage, "CONNECTING 1 | closed CERTIFICATE 1006 | WAITING 1 18");
    finish();
}

static void malformed_list_is_refused_with_its_entry(void **state)
{
    char why[WSI_OPTION_WHY_SIZE];

    (void)state;
    begin();
    assert_int_equal(wsi_options_set(&stage.remote.profile.options, "reconnect_stop",
                                     "1002, 40x", false, why, sizeof why),
                     WSOCK_EINVAL);
    assert_non_null(strstr(why, "\"reconnect_stop\": \"40x\": an entry is a number"));
    stage_end(&stage);
}

/* ---- stopping and starting ---- */

static void stop_while_it_waits_acts_at_once(void **state)
{
    (void)state;
    begin();
    fails = WSOCK_CAUSE_CONNECT;
    draw(100);
    start();
    forget();
    stop();
    stage_saw(&stage, "CLOSED 1 7");
    assert_string_equal(detail, "stopped while it was not connected");
    stage_run(&stage, 5000);
    assert_int_equal(attempts, 1);
    stage_end(&stage);
}

static void stop_while_it_connects_gives_up(void **state)
{
    (void)state;
    begin();
    start();
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
    stage_ended(&stage, peer());
    stage_saw(&stage, "CONNECTING 1 | closed RESET 1006 | CLOSED 1 7");
    stage_end(&stage);
}

static void stop_while_it_is_open_closes_it(void **state)
{
    static const uint8_t reply[] = {0x03, 0xe8};

    (void)state;
    begin();
    come_up();
    assert_int_equal(wsi_keeper_stop(keeper, 1000, "bye", 3), 0);
    stage_settle(&stage);
    assert_int_equal(peer()->output.len, 2 + 4 + 5);
    assert_int_equal(peer()->output.data[0], 0x88);
    assert_int_equal(peer()->output.data[6 + 2] ^ peer()->output.data[2 + 2], 'b');
    stage_saw(&stage, "");
    stage_feed_plain(peer(), 0x88, reply, sizeof reply);
    peer()->eof = true;
    stage_ended(&stage, peer());
    stage_saw(&stage, "closed CLOSED 1000 | CLOSED 1 0");
    stage_end(&stage);
}

static void stop_before_it_began_is_told_as_well(void **state)
{
    (void)state;
    begin();
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsi_keeper_start(keeper), 0);
    assert_int_equal(wsi_keeper_start(keeper), WSOCK_EBUSY);
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), WSOCK_ECLOSED);
    assert_int_equal(wsi_keeper_start(keeper), WSOCK_EBUSY);
    stage_settle(&stage);
    stage_saw(&stage, "CONNECTING 1 | CLOSED 1 7");
    assert_int_equal(attempts, 0);
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), WSOCK_ECLOSED);
    stage_end(&stage);
}

static void stop_when(int state)
{
    static int which = WSOCK_STATE_CONNECTING;

    if (state == which && state < WSOCK_STATE_CLOSED) {
        assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
        which++;
    }
}

static void answer_and_listen(void);

/* From on_state itself: in CONNECTING, then OPEN, then WAITING. */
static void stop_from_the_handler_acts_as_well(void **state)
{
    static const uint8_t reply[] = {0x03, 0xe8};

    (void)state;
    begin();
    on_state = stop_when;
    start();
    stage_saw(&stage, "CONNECTING 1 | CLOSED 1 7");
    assert_int_equal(attempts, 0);
    start();
    answer_and_listen();
    assert_int_equal(peer()->output.data[0], 0x88);
    stage_saw(&stage, "CONNECTING 1 | OPEN 1 | open");
    stage_feed_plain(peer(), 0x88, reply, sizeof reply);
    peer()->eof = true;
    stage_ended(&stage, peer());
    stage_saw(&stage, "closed CLOSED 1000 | CLOSED 1 0");
    fails = WSOCK_CAUSE_CONNECT;
    draw(50);
    start();
    stage_saw(&stage, "CONNECTING 1 | closed CONNECT 1006 | WAITING 1 12 | CLOSED 1 7");
    stage_end(&stage);
}

static int again;

static void start_when_closed(int state)
{
    if (state == WSOCK_STATE_CLOSED && again-- > 0)
        assert_int_equal(wsi_keeper_start(keeper), 0);
}

static void closed_client_may_be_started_again(void **state)
{
    (void)state;
    begin();
    on_state = start_when_closed;
    again = 2;
    set("reconnect_attempts", "1");
    fails = WSOCK_CAUSE_CONNECT;
    for (int i = 0; i < 2; i++) {
        start();
        stage_run(&stage, 1000);
    }
    stage_saw(&stage, "CONNECTING 1 | closed CONNECT 1006 | WAITING 1 12 | "
                      "CONNECTING 2 | closed CONNECT 1006 | CLOSED 2 12 | "
                      "CONNECTING 1 | closed CONNECT 1006 | WAITING 1 12 | "
                      "CONNECTING 2 | closed CONNECT 1006 | CLOSED 2 12 | "
                      "CONNECTING 1 | closed CONNECT 1006 | WAITING 1 12 | "
                      "CONNECTING 2 | closed CONNECT 1006 | CLOSED 2 12 | "
                      "CONNECTING 1 | closed CONNECT 1006 | WAITING 1 12 | "
                      "CONNECTING 2 | closed CONNECT 1006 | CLOSED 2 12");
    stage_end(&stage);
}

/* As api/runtime.c does it. */
static void runtime_stops(void)
{
    atomic_store(&stage.pool.stopping, true);
    WSI_LIST_EACH(node, &stage.worker->conns)
    wsi_conn_go_away(WSI_CONTAINER_OF(node, struct wsock_conn, node));
    WSI_LIST_EACH(node, &stage.worker->keepers)
    wsi_keeper_go_away(WSI_CONTAINER_OF(node, struct wsi_keeper, node));
}

static void stop_of_the_runtime_ends_it_in_every_phase(void **state)
{
    (void)state;
    begin(); /* not begun yet */
    assert_int_equal(wsi_keeper_start(keeper), 0);
    runtime_stops();
    stage_settle(&stage);
    stage_saw(&stage, "CLOSED 1 8");
    assert_int_equal(wsi_keeper_start(keeper), WSOCK_ECLOSED);
    stage_end(&stage);

    begin(); /* waiting */
    fails = WSOCK_CAUSE_CONNECT;
    draw(100);
    start();
    forget();
    runtime_stops();
    stage_saw(&stage, "CLOSED 1 8");
    stage_end(&stage);

    begin(); /* connecting */
    start();
    runtime_stops();
    stage_ended(&stage, peer());
    stage_saw(&stage, "CONNECTING 1 | closed STOPPED 1006 | CLOSED 1 8");
    stage_end(&stage);

    begin(); /* open */
    come_up();
    runtime_stops();
    peer_closes(1001);
    stage_saw(&stage, "closed CLOSED 1001 | CLOSED 1 0");
    stage_end(&stage);
}

/* A connection of the same client that was asked for is nobody's business. */
static void other_connections_of_the_client_are_left_alone(void **state)
{
    struct script_peer other;
    struct wsock_conn *conn;

    (void)state;
    begin();
    come_up();
    conn = stage_connect_open(&stage, &other);
    stage_saw(&stage, "open");
    stage_drop(&stage, conn, &other);
    stage_saw(&stage, "closed RESET 1006");
    conn = wsi_keeper_conn(keeper);
    assert_non_null(conn);
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    wsock_conn_unref(conn);
    cut(1);
    assert_null(wsi_keeper_conn(keeper));
    finish();
}

/* ---- messages ---- */

static int send_typed(int type, const char *text)
{
    struct wsock_conn *conn = NULL;
    int r;

    do
        r = wsi_keeper_route(keeper, &conn, type, text, strlen(text));
    while (r > 0 && (r = wsi_conn_send(conn, type, text, strlen(text))) == WSOCK_ECLOSED);
    wsock_conn_unref(conn);
    return r;
}

static int say(const char *text)
{
    return send_typed(WSOCK_TEXT, text);
}

/* Open where messages wait: what follows the request is left to heard(). */
static void answer_and_listen(void)
{
    struct script_bytes *out = &peer()->output;

    script_feed(peer(), stage_answer, strlen(stage_answer));
    stage_settle(&stage);
    assert_true(out->len >= strlen(stage_asked));
    assert_memory_equal(out->data, stage_asked, strlen(stage_asked));
    out->len -= strlen(stage_asked);
    memmove(out->data, out->data + strlen(stage_asked), out->len);
}

/* The payloads of short masked frames that were sent since the last time. */
static void heard(const char *expected)
{
    const struct script_bytes *out = &peer()->output;
    char text[512] = "";
    size_t len = 0;

    stage_settle(&stage);
    for (size_t at = 0; at < out->len;) {
        const size_t n = out->data[at + 1] & 0x7f;

        assert_true(n < 126 && at + 6 + n <= out->len && len + n + 2 < sizeof text);
        if (at > 0)
            text[len++] = ' ';
        for (size_t i = 0; i < n; i++)
            text[len++] = (char)(out->data[at + 6 + i] ^ out->data[at + 2 + i % 4]);
        at += 6 + n;
    }
    text[len] = '\0';
    assert_string_equal(text, expected);
    peer()->output.len = 0;
}

static void without_a_buffer_nothing_is_kept(void **state)
{
    (void)state;
    begin();
    assert_int_equal(say("a"), WSOCK_ECLOSED);
    start();
    assert_int_equal(say("a"), WSOCK_EAGAIN);
    answer();
    assert_int_equal(say("b"), 0);
    heard("b");
    cut(10);
    assert_int_equal(say("c"), WSOCK_EAGAIN);
    stage_run(&stage, 10);
    answer();
    heard("");
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
    assert_int_equal(say("d"), WSOCK_ECLOSED);
    stage_settle(&stage);
    peer_closes(1000);
    assert_int_equal(say("e"), WSOCK_ECLOSED);
    forget();
    stage_end(&stage);
}

static void introduce(struct wsock_conn *conn)
{
    assert_int_equal(say("late"), 0); /* behind what is kept */
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, "hello", 5), 0);
}

static void kept_messages_leave_in_order_behind_on_open(void **state)
{
    (void)state;
    begin();
    on_open = introduce;
    set("reconnect_buffer_bytes", "10KiB");
    start();
    assert_int_equal(say("1"), 0);
    assert_int_equal(say("2"), 0);
    assert_int_equal(send_typed(WSOCK_TEXT | WSOCK_UNCOMPRESSED, "3"), 0);
    answer_and_listen();
    assert_int_equal(say("4"), 0);
    heard("hello 1 2 3 late 4");
    assert_int_equal(keeper->kept_bytes, 0);
    cut(10);
    finish();
}

static void what_was_handed_to_a_connection_is_not_sent_again(void **state)
{
    (void)state;
    begin();
    set("reconnect_buffer_bytes", "10KiB");
    come_up();
    peer()->write_room = 0;
    assert_int_equal(say("lost"), 0);
    stage_settle(&stage);
    cut(10);
    assert_int_equal(say("kept"), 0);
    stage_run(&stage, 10);
    answer_and_listen();
    heard("kept");
    cut(10);
    stage_run(&stage, 10);
    answer(); /* and nothing behind the request */
    cut(10);
    finish();
}

static void kept_messages_are_bounded(void **state)
{
    enum { EACH = sizeof(struct wsi_posted) };
    char limit[32];

    (void)state;
    begin();
    snprintf(limit, sizeof limit, "%d", 3 * EACH + 5);
    set("reconnect_buffer_bytes", limit);
    start();
    assert_int_equal(say("12"), 0);
    assert_int_equal(say(""), 0); /* it counts too */
    assert_int_equal(say("1234"), WSOCK_EAGAIN);
    assert_int_equal(say("123"), 0);
    assert_int_equal(say(""), WSOCK_EAGAIN);
    answer_and_listen();
    heard("12  123");
    assert_int_equal(keeper->kept_bytes, 0);
    cut(10);
    finish();
}

static int64_t buffered(void)
{
    return atomic_load(&stage.pool.buffered);
}

static void kept_messages_count_as_buffered(void **state)
{
    (void)state;
    begin();
    set("reconnect_buffer_bytes", "10KiB");
    start();
    assert_int_equal(say("1"), 0);
    assert_int_equal(say("2"), 0);
    assert_true(buffered() > 0 && buffered() == (int64_t)keeper->kept_bytes);
    assert_int_equal(wsi_options_set(&stage.pool.options, "max_buffered_bytes", "1", false,
                                     NULL, 0),
                     0);
    assert_int_equal(say("3"), WSOCK_EAGAIN);
    assert_int_equal(wsi_options_set(&stage.pool.options, "max_buffered_bytes", "auto",
                                     false, NULL, 0),
                     0);
    answer_and_listen();
    heard("1 2");
    assert_int_equal(buffered(), 0);
    cut(10);
    assert_int_equal(say("never"), 0);
    assert_true(buffered() > 0);
    stop();
    assert_int_equal(buffered(), 0);
    forget();
    stage_end(&stage);
}

static void kept_messages_are_dropped_when_it_is_closed(void **state)
{
    (void)state;
    begin();
    set("reconnect_buffer_bytes", "1KiB");
    fails = WSOCK_CAUSE_CONNECT;
    draw(100);
    start();
    assert_int_equal(say("never"), 0);
    stop();
    fails = 0;
    start();
    answer();
    cut(10);
    finish();
}

static void text_that_is_kept_is_checked(void **state)
{
    (void)state;
    begin();
    set("reconnect_buffer_bytes", "1KiB");
    start();
    assert_int_equal(say("\xff"), WSOCK_EUTF8);
    assert_int_equal(send_typed(WSOCK_BINARY, "\xff"), 0);
    answer_and_listen();
    heard("\xff");
    cut(10);
    finish();
}

static void close_it(struct wsock_conn *conn)
{
    assert_int_equal(wsi_conn_close(conn, 4000, NULL, 0), 0);
}

static void connection_that_closes_in_on_open_leaves_them_to_the_next(void **state)
{
    (void)state;
    begin();
    set("reconnect_buffer_bytes", "1KiB");
    start();
    assert_int_equal(say("1"), 0);
    on_open = close_it;
    script_feed(peer(), stage_answer, strlen(stage_answer));
    stage_settle(&stage);
    assert_int_equal(say("2"), 0);
    on_open = NULL;
    cut(10);
    assert_int_equal(say("3"), 0);
    stage_run(&stage, 10);
    answer_and_listen();
    heard("1 2 3");
    cut(10);
    finish();
}

static void message_while_it_closes_is_for_the_next(void **state)
{
    struct wsock_conn *conn;

    (void)state;
    begin();
    come_up();
    conn = wsi_keeper_conn(keeper);
    close_it(conn);
    wsock_conn_unref(conn);
    assert_int_equal(say("refused"), WSOCK_EAGAIN);
    set("reconnect_buffer_bytes", "1KiB");
    assert_int_equal(say("kept"), 0);
    cut(10);
    stage_run(&stage, 10);
    answer_and_listen();
    heard("kept");
    cut(10);
    finish();
}

/* Handlers that wait for on_drain must get it. */
static void fill(struct wsock_conn *conn)
{
    (void)conn;
    assert_int_equal(say("too much"), WSOCK_EAGAIN);
}

static void send_that_is_refused_before_the_kept_have_left_is_drained(void **state)
{
    enum { EACH = sizeof(struct wsi_posted) };
    char limit[32];

    (void)state;
    begin();
    snprintf(limit, sizeof limit, "%d", EACH + 5);
    set("reconnect_buffer_bytes", limit);
    start();
    assert_int_equal(say("kept"), 0);
    on_open = fill;
    answer_and_listen();
    heard("kept");
    stage_saw(&stage, "CONNECTING 1 | OPEN 1 | open | drain");
    cut(10);
    finish();
}

static void begin_parts(struct wsock_conn *conn)
{
    assert_int_equal(wsi_conn_send_begin(conn, WSOCK_TEXT), 0);
    assert_int_equal(wsi_conn_send_append(conn, "a", 1), 0);
}

static void kept_messages_wait_for_the_end_of_one_in_parts(void **state)
{
    struct wsock_conn *conn;

    (void)state;
    begin();
    set("reconnect_buffer_bytes", "1KiB");
    start();
    assert_int_equal(say("kept"), 0);
    on_open = begin_parts;
    answer_and_listen();
    heard("a");
    conn = wsi_keeper_conn(keeper);
    assert_int_equal(wsi_conn_send_append(conn, "b", 1), 0);
    assert_int_equal(wsi_conn_send_end(conn), 0);
    wsock_conn_unref(conn);
    heard("b  kept"); /* the end is an empty frame */
    cut(10);
    finish();
}

/* ---- without memory ---- */

static void attempt_without_memory_is_one_that_failed(void **state)
{
    (void)state;
    begin();
    fails = WSOCK_CAUSE_CONNECT;
    test_fail_allocation(1, 0);
    assert_int_equal(wsi_keeper_start(keeper), 0);
    draw(100);
    wsi_loop_turn(stage.loop, 0);
    assert_int_equal(test_stop_failing(), 1);
    stage_saw(&stage, "CONNECTING 1 | WAITING 1 9");
    fails = 0;
    stage_run(&stage, 100);
    answer();
    stage_saw(&stage, "CONNECTING 2 | OPEN 2 | open");
    cut(10);
    finish();
}

/* Each allocation of an attempt fails once, and the next attempt is as good as new. */
static void it_comes_up_whatever_failed_before(void **state)
{
    size_t refused = 1;

    (void)state;
    for (size_t nth = 1; refused > 0; nth++) {
        begin();
        start();
        test_fail_allocation(nth, 0);
        script_feed(peer(), stage_answer, strlen(stage_answer));
        stage_settle(&stage);
        refused = test_stop_failing();
        if (refused > 0 && keeper->conn == NULL) {
            stage_ended(&stage, peer());
            stage_run(&stage, 100);
            script_feed(peer(), stage_answer, strlen(stage_answer));
            stage_settle(&stage);
        }
        assert_true(keeper->is_open);
        cut(10);
        finish();
    }
}

static void message_that_cannot_be_kept_says_so(void **state)
{
    int r;

    (void)state;
    begin();
    set("reconnect_buffer_bytes", "1KiB");
    start();
    FOR_EACH_OOM(r, r = say("kept"), {
        stop();
        stage_ended(&stage, peer());
        start();
    });
    assert_int_equal(wsi_keeper_stop(keeper, 1000, NULL, 0), 0);
    stage_ended(&stage, peer());
    forget();
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bound_of_the_wait_doubles_up_to_its_maximum),
        TEST(what_is_beyond_the_bound_comes_around),
        TEST(waits_are_spread_over_all_of_the_range),
        TEST(wait_of_nothing_connects_in_the_next_turn),
        TEST(stable_connection_begins_the_backoff_anew),
        TEST(attempts_end_with_the_last_failure),
        TEST(server_may_ask_for_a_longer_wait),
        TEST(some_closes_are_for_good),
        TEST(some_refusals_are_for_good),
        TEST(certificate_that_is_not_accepted_is_for_good),
        TEST(malformed_list_is_refused_with_its_entry),
        TEST(stop_while_it_waits_acts_at_once),
        TEST(stop_while_it_connects_gives_up),
        TEST(stop_while_it_is_open_closes_it),
        TEST(stop_before_it_began_is_told_as_well),
        TEST(stop_from_the_handler_acts_as_well),
        TEST(closed_client_may_be_started_again),
        TEST(stop_of_the_runtime_ends_it_in_every_phase),
        TEST(other_connections_of_the_client_are_left_alone),
        TEST(without_a_buffer_nothing_is_kept),
        TEST(kept_messages_leave_in_order_behind_on_open),
        TEST(what_was_handed_to_a_connection_is_not_sent_again),
        TEST(kept_messages_are_bounded),
        TEST(kept_messages_count_as_buffered),
        TEST(kept_messages_are_dropped_when_it_is_closed),
        TEST(text_that_is_kept_is_checked),
        TEST(connection_that_closes_in_on_open_leaves_them_to_the_next),
        TEST(message_while_it_closes_is_for_the_next),
        TEST(send_that_is_refused_before_the_kept_have_left_is_drained),
        TEST(kept_messages_wait_for_the_end_of_one_in_parts),
        TEST(attempt_without_memory_is_one_that_failed),
        TEST(it_comes_up_whatever_failed_before),
        TEST(message_that_cannot_be_kept_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
