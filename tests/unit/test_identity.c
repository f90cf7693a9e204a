/* SPDX-License-Identifier: MIT */
/* Who connections are, and who is found in the index of their server, and when. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/identity.h"
#include "stage.h"

enum { CONNS = 4 }; /* even ones on worker 0, odd ones on worker 1 */

static struct stage stage;
static struct script_peer peer[CONNS];
static struct wsock_conn *conn[CONNS];

static void accept_one(int i)
{
    conn[i] = stage_accept(&stage, &peer[i], (unsigned)i % 2);
}

static void open_one(int i)
{
    script_feed(&peer[i], stage_request, strlen(stage_request));
    stage_settle_all(&stage);
    stage_sent_bytes(&peer[i], stage_accepted, strlen(stage_accepted));
    stage_saw(&stage, "open");
}

static void begin(void)
{
    stage_begin(&stage, 2);
    for (int i = 0; i < CONNS; i++)
        accept_one(i);
}

static void drop(int i)
{
    stage_drop(&stage, conn[i], &peer[i]);
    conn[i] = NULL;
}

static void finish(void)
{
    for (int i = 0; i < CONNS; i++)
        if (conn[i] != NULL)
            drop(i);
    assert_int_equal(stage.service.identities.persons.count, 0);
    stage_end(&stage);
}

static size_t count(const char *identity)
{
    return wsi_identities_conns(&stage.service.identities, NULL, 0, identity);
}

static void identities_are_checked(void **state)
{
    char longest[257];

    (void)state;
    memset(longest, 'x', 256);
    longest[256] = '\0';
    assert_false(wsi_identity_is_valid(longest));
    longest[255] = '\0';
    assert_true(wsi_identity_is_valid(longest));
    assert_true(wsi_identity_is_valid("ann@example.com"));
    assert_true(wsi_identity_is_valid("gr\xc3\xbc\xc3\x9f dich.*>"));
    assert_false(wsi_identity_is_valid(""));
    assert_false(wsi_identity_is_valid("a\nb"));
    assert_false(wsi_identity_is_valid("\x7f"));
    assert_false(wsi_identity_is_valid("\xff"));
}

static void connection_is_found_from_open_to_end(void **state)
{
    (void)state;
    begin();
    assert_string_equal(wsi_conn_identity(conn[0]), "");
    assert_int_equal(wsi_conn_set_identity(conn[0], "ann"), 0);
    assert_string_equal(wsi_conn_identity(conn[0]), "ann");
    assert_int_equal(count("ann"), 0);
    open_one(0);
    assert_int_equal(count("ann"), 1);
    wsock_conn_ref(conn[0]);
    wsock_conn *held = conn[0];
    drop(0);
    assert_int_equal(count("ann"), 0);
    assert_string_equal(wsi_conn_identity(held), "ann");
    assert_int_equal(wsi_conn_set_identity(conn[1], "ann"), 0); /* and never opens */
    wsock_conn_unref(held);
    finish();
}

static void one_identity_has_several_connections(void **state)
{
    wsock_conn *found[CONNS] = {0};

    (void)state;
    begin();
    for (int i = 0; i < CONNS; i++)
        open_one(i);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wsi_conn_set_identity(conn[i], "ann"), 0);
    assert_int_equal(wsi_conn_set_identity(conn[3], "bob"), 0);
    assert_int_equal(stage.service.identities.persons.count, 2);
    assert_int_equal(wsi_identities_conns(&stage.service.identities, found, 2, "ann"), 3);
    assert_ptr_equal(found[0], conn[0]);
    assert_ptr_equal(found[1], conn[1]);
    assert_null(found[2]);
    wsock_conn_unref(found[0]);
    wsock_conn_unref(found[1]);
    drop(1);
    assert_int_equal(count("ann"), 2);
    assert_int_equal(count("bob"), 1);
    finish();
}

static void identity_is_set_once_and_not_at_the_end(void **state)
{
    (void)state;
    begin();
    open_one(0);
    assert_int_equal(wsi_conn_set_identity(conn[0], ""), WSOCK_EINVAL);
    assert_int_equal(wsi_conn_set_identity(conn[0], "ann"), 0);
    assert_int_equal(wsi_conn_set_identity(conn[0], "bob"), WSOCK_EEXIST);
    assert_string_equal(wsi_conn_identity(conn[0]), "ann");
    open_one(1);
    script_feed(&peer[1], "\xff\xff", 2); /* fails, and its socket is still there */
    stage_settle_all(&stage);
    assert_int_equal(wsi_conn_set_identity(conn[1], "bob"), WSOCK_ECLOSED);
    assert_int_equal(count("bob"), 0);
    finish();
}

static void clients_have_none(void **state)
{
    struct script_peer far;
    struct wsock_conn *client;

    (void)state;
    stage_begin(&stage, 1);
    stage_fix_random(&stage);
    client = stage_connect_open(&stage, &far);
    assert_int_equal(wsi_conn_set_identity(client, "ann"), WSOCK_ENOTSUP);
    assert_string_equal(wsi_conn_identity(client), "");
    stage_drop(&stage, client, &far);
    stage_end(&stage);
}

static void without_memory_nobody_is_identified(void **state)
{
    int next = 1, r;

    (void)state;
    begin();
    assert_int_equal(wsi_conn_set_identity(conn[0], "first"), 0); /* the buckets */
    for (size_t n = 1;; n++) { /* what is made for a connection stays with it */
        test_fail_allocation(n, 0);
        r = wsi_conn_set_identity(conn[next], "ann");
        if (test_stop_failing() == 0)
            break;
        assert_int_equal(r, WSOCK_ENOMEM);
        assert_string_equal(wsi_conn_identity(conn[next]), "");
        assert_int_equal(stage.service.identities.persons.count, 1);
    }
    assert_int_equal(r, 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identities_are_checked),
        TEST(connection_is_found_from_open_to_end),
        TEST(one_identity_has_several_connections),
        TEST(identity_is_set_once_and_not_at_the_end),
        TEST(clients_have_none),
        TEST(without_memory_nobody_is_identified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
