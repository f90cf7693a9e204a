/* SPDX-License-Identifier: MIT */
/* Racing for a connection, over loopback: which addresses are tried when, and what is
 * left. */
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wsock/error.h>

#include "io/dial.h"

static struct {
    int calls, fd, error;
    char address[WSI_ADDRESS_TEXT_MAX];
} outcome;

static void on_dialed(void *user, int fd, const struct wsi_address *address, int error)
{
    (void)user;
    outcome.calls++;
    outcome.fd = fd;
    outcome.error = error;
    wsi_address_text(address, outcome.address);
}

static struct wsi_loop *loop;

static void begin(void)
{
    const struct wsi_loop_config config = {0};

    memset(&outcome, 0, sizeof outcome);
    outcome.fd = -1;
    assert_int_equal(wsi_loop_new(&loop, &config), 0);
}

/* Closing what lost takes until the end of the turn. */
static void end(void)
{
    if (outcome.fd >= 0)
        close(outcome.fd);
    wsi_loop_turn(loop, 0);
    wsi_loop_free(loop);
}

static int listen_on(struct wsi_address *address, const char *host)
{
    int fd;

    assert_true(wsi_address_numeric(address, host, 0));
    assert_int_equal(wsi_listen(address, 1, false, &fd), 0);
    assert_int_equal(wsi_address_local(address, fd), 0);
    return fd;
}

/* An address where nobody listens. */
static void set_closed(struct wsi_address *address, const char *host)
{
    close(listen_on(address, host));
}

/* An address that does not answer: its queue is full, so the kernel drops what comes. */
struct silent {
    int fd, waiting[8];
};

static void set_silent(struct silent *silent, struct wsi_address *address)
{
    silent->fd = listen_on(address, "127.0.0.1");
    assert_int_equal(listen(silent->fd, 0), 0);
    for (size_t i = 0; i < 8; i++) {
        silent->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(silent->waiting[i], &address->u.any, address->len);
    }
}

static void end_silent(const struct silent *silent)
{
    for (size_t i = 0; i < 8; i++)
        close(silent->waiting[i]);
    close(silent->fd);
}

static void turn_until_told(void)
{
    while (outcome.calls == 0)
        wsi_loop_turn(loop, -1);
}

static struct wsi_dial *start(const struct wsi_address *addresses, size_t count)
{
    struct wsi_dial *dial;

    assert_int_equal(wsi_dial_start(&dial, loop, addresses, count, NULL, on_dialed, NULL),
                     0);
    assert_int_equal(outcome.calls, 0);
    return dial;
}

static void is_connected_to(const struct wsi_address *address)
{
    char expected[WSI_ADDRESS_TEXT_MAX];
    struct wsi_address peer = {.len = sizeof peer.u};

    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.error, 0);
    assert_int_equal(getpeername(outcome.fd, &peer.u.any, &peer.len), 0);
    assert_string_equal(wsi_address_text(&peer, expected), outcome.address);
    assert_string_equal(wsi_address_text(address, expected), outcome.address);
}

/* ---- cases ---- */

static void one_address_is_connected_to(void **state)
{
    struct wsi_address address;
    int fd;

    (void)state;
    begin();
    fd = listen_on(&address, "127.0.0.1");
    start(&address, 1);
    turn_until_told();
    is_connected_to(&address);
    end();
    close(fd);
}

static void refused_address_gives_way_at_once(void **state)
{
    struct wsi_address addresses[3];
    uint64_t before;
    int fd;

    (void)state;
    begin();
    set_closed(&addresses[0], "127.0.0.1");
    set_closed(&addresses[1], "127.0.0.1");
    fd = listen_on(&addresses[2], "127.0.0.1");
    before = wsi_loop_clock_us(loop);
    start(addresses, 3);
    turn_until_told();
    is_connected_to(&addresses[2]);
    assert_true(wsi_loop_clock_us(loop) - before < WSI_DIAL_DELAY_MS * 1000);
    end();
    close(fd);
}

static void silent_address_gives_way_after_a_quarter_of_a_second(void **state)
{
    struct wsi_address addresses[2];
    struct silent silent;
    uint64_t before;
    int fd;

    (void)state;
    begin();
    set_silent(&silent, &addresses[0]);
    fd = listen_on(&addresses[1], "127.0.0.1");
    before = wsi_loop_clock_us(loop);
    start(addresses, 2);
    turn_until_told();
    is_connected_to(&addresses[1]);
    assert_true(wsi_loop_clock_us(loop) - before >= (WSI_DIAL_DELAY_MS - 1) * 1000);
    end();
    end_silent(&silent);
    close(fd);
}

/* The silent one is still under way when the others have failed. */
static void failures_of_others_do_not_end_what_is_under_way(void **state)
{
    struct wsi_address addresses[2];
    struct silent silent;

    (void)state;
    begin();
    set_silent(&silent, &addresses[0]);
    set_closed(&addresses[1], "127.0.0.1");
    start(addresses, 2);
    for (int i = 0; i < 3; i++)
        wsi_loop_turn(loop, 2 * WSI_DIAL_DELAY_MS);
    assert_int_equal(outcome.calls, 0);
    /* It answers when there is room in its queue. */
    for (size_t i = 0; i < 8; i++) {
        const int accepted = accept(silent.fd, NULL, NULL);

        assert_true(accepted >= 0 || i > 0);
        if (accepted >= 0)
            close(accepted);
        if (i == 0)
            assert_int_equal(listen(silent.fd, 16), 0);
    }
    turn_until_told();
    is_connected_to(&addresses[0]);
    end();
    end_silent(&silent);
}

static void all_that_fail_are_told_by_the_last(void **state)
{
    struct wsi_address addresses[2];

    (void)state;
    begin();
    set_closed(&addresses[0], "127.0.0.1");
    set_closed(&addresses[1], "127.0.0.2");
    start(addresses, 2);
    turn_until_told();
    assert_int_equal(outcome.fd, -1);
    assert_int_equal(outcome.error, ECONNREFUSED);
    assert_memory_equal(outcome.address, "127.0.0.2:", 10);
    end();
}

/* A socket of no family fails before it is under way. */
static void addresses_that_cannot_be_tried_are_told_later(void **state)
{
    struct wsi_address addresses[2];

    (void)state;
    begin();
    assert_int_equal(wsi_address_unix(&addresses[0], "/nonexistent/1"), 0);
    assert_int_equal(wsi_address_unix(&addresses[1], "/nonexistent/2"), 0);
    start(addresses, 2);
    turn_until_told();
    assert_int_equal(outcome.fd, -1);
    assert_int_equal(outcome.error, ENOENT);
    assert_string_equal(outcome.address, "unix:/nonexistent/2");
    end();
}

/* 4a 4b 4c 6a 6b are tried as 4a 6a 4b 6b 4c. */
static void families_take_turns(void **state)
{
    struct wsi_address addresses[5];

    (void)state;
    begin();
    set_closed(&addresses[0], "127.0.0.1");
    set_closed(&addresses[1], "127.0.0.2");
    set_closed(&addresses[2], "127.0.0.3");
    set_closed(&addresses[3], "::1");
    set_closed(&addresses[4], "::1");
    start(addresses, 5);
    turn_until_told();
    assert_memory_equal(outcome.address, "127.0.0.3:", 10);
    end();
    begin();
    start(addresses + 1, 4); /* 4b 6a 4c 6b */
    turn_until_told();
    assert_memory_equal(outcome.address, "[::1]:", 6);
    end();
}

static void cancelled_race_is_silent_and_leaves_nothing(void **state)
{
    struct wsi_address addresses[2];
    struct wsi_dial *dial;
    struct silent silent;

    (void)state;
    begin();
    set_silent(&silent, &addresses[0]);
    set_closed(&addresses[1], "127.0.0.1");
    dial = start(addresses, 2);
    wsi_loop_turn(loop, 10);
    wsi_dial_cancel(dial);
    wsi_loop_turn(loop, 0);
    assert_int_equal(outcome.calls, 0);
    end();
    end_silent(&silent);

    begin();
    assert_int_equal(wsi_address_unix(&addresses[0], "/nonexistent/1"), 0);
    wsi_dial_cancel(start(addresses, 1)); /* nothing is under way but the telling */
    wsi_loop_turn(loop, 0);
    assert_int_equal(outcome.calls, 0);
    end();
}

static void sources(struct wsi_sources *out, const char *v4, uint16_t port)
{
    *out = (struct wsi_sources){0};
    assert_true(wsi_address_numeric(&out->v4, v4, port));
}

static void start_from(const struct wsi_address *addresses, size_t count,
                       const struct wsi_sources *from)
{
    struct wsi_dial *dial;

    assert_int_equal(wsi_dial_start(&dial, loop, addresses, count, from, on_dialed, NULL),
                     0);
    turn_until_told();
}

static void connection_comes_from_the_address_that_is_given(void **state)
{
    struct wsi_address address, local;
    char text[WSI_ADDRESS_TEXT_MAX];
    struct wsi_sources from;
    int fd;

    (void)state;
    begin();
    fd = listen_on(&address, "127.0.0.1");
    sources(&from, "127.0.0.3", 0);
    start_from(&address, 1, &from);
    is_connected_to(&address);
    assert_int_equal(wsi_address_local(&local, outcome.fd), 0);
    assert_true(wsi_address_port(&local) != 0);
    wsi_address_set_port(&local, 1);
    assert_string_equal(wsi_address_text(&local, text), "127.0.0.3:1");
    end();
    close(fd);
}

/* The first attempt still has the port when the second begins. */
static void several_are_tried_from_one_port(void **state)
{
    struct wsi_address addresses[2], port, local;
    char text[WSI_ADDRESS_TEXT_MAX], expected[WSI_ADDRESS_TEXT_MAX];
    struct wsi_sources from;
    struct silent silent;
    int fd;

    (void)state;
    begin();
    set_silent(&silent, &addresses[0]);
    fd = listen_on(&addresses[1], "127.0.0.1");
    set_closed(&port, "127.0.0.3");
    sources(&from, "127.0.0.3", wsi_address_port(&port));
    start_from(addresses, 2, &from);
    is_connected_to(&addresses[1]);
    assert_int_equal(wsi_address_local(&local, outcome.fd), 0);
    assert_string_equal(wsi_address_text(&local, text),
                        wsi_address_text(&port, expected));
    end();
    close(fd);
    end_silent(&silent);
}

static void family_without_a_source_is_passed_over(void **state)
{
    struct wsi_address addresses[2];
    struct wsi_sources from;
    int fd;

    (void)state;
    begin();
    assert_true(wsi_address_numeric(&addresses[0], "::1", 1));
    fd = listen_on(&addresses[1], "127.0.0.1");
    sources(&from, "127.0.0.1", 0);
    start_from(addresses, 2, &from);
    is_connected_to(&addresses[1]);
    end();
    close(fd);
    begin();
    start_from(addresses, 1, &from);
    assert_int_equal(outcome.error, EADDRNOTAVAIL);
    assert_string_equal(outcome.address, "[::1]:1");
    end();
}

static void source_that_is_not_ours_is_an_error(void **state)
{
    struct wsi_address address;
    struct wsi_sources from;
    int fd;

    (void)state;
    begin();
    fd = listen_on(&address, "127.0.0.1");
    sources(&from, "192.0.2.1", 0);
    start_from(&address, 1, &from);
    assert_int_equal(outcome.fd, -1);
    assert_int_equal(outcome.error, EADDRNOTAVAIL);
    end();
    close(fd);
}

static void race_without_memory_is_refused(void **state)
{
    struct wsi_address address;
    struct wsi_dial *dial;

    (void)state;
    begin();
    set_closed(&address, "127.0.0.1");
    test_fail_allocation(1, true);
    assert_int_equal(wsi_dial_start(&dial, loop, &address, 1, NULL, on_dialed, NULL),
                     WSOCK_ENOMEM);
    test_stop_failing();
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_address_is_connected_to),
        TEST(refused_address_gives_way_at_once),
        TEST(silent_address_gives_way_after_a_quarter_of_a_second),
        TEST(failures_of_others_do_not_end_what_is_under_way),
        TEST(all_that_fail_are_told_by_the_last),
        TEST(addresses_that_cannot_be_tried_are_told_later),
        TEST(families_take_turns),
        TEST(cancelled_race_is_silent_and_leaves_nothing),
        TEST(connection_comes_from_the_address_that_is_given),
        TEST(several_are_tried_from_one_port),
        TEST(family_without_a_source_is_passed_over),
        TEST(source_that_is_not_ours_is_an_error),
        TEST(race_without_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
