/* SPDX-License-Identifier: MIT */
/* Which proxy a connection takes, by options and environment, and what becomes of it on
 * the way. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/opening.h"
#include "conn/reaching.h"
#include "core/alloc.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static wsock_close_info ended;
static char detail[256];

static void on_close(wsock_conn *c, const wsock_close_info *info, void *user)
{
    (void)c;
    (void)user;
    test_transcript_add(&stage.seen, "closed %s", wsock_cause_text(info->cause));
    strncpy(detail, info->detail, sizeof detail - 1);
    ended = *info;
}

static void begin(const char *url)
{
    const char *why;

    stage_begin(&stage, 1);
    assert_int_equal(wsi_profile_on(&stage.remote.profile, &stage.pool, WSI_ON_CLOSE,
                                    (union wsi_handler_fn){.close = on_close}, true, NULL,
                                    NULL),
                     0);
    assert_int_equal(wsi_url_parse(url, &stage.remote.home.url, &why), 0);
    memset(detail, 0, sizeof detail);
    memset(&ended, 0, sizeof ended);
}

static void end(void)
{
    wsi_environment_fini(&stage.remote.environment);
    stage_end(&stage);
}

static void set(const char *name, const char *value)
{
    char why[WSI_OPTION_WHY_SIZE] = "";

    if (wsi_options_set(&stage.remote.profile.options, name, value, false, why,
                        sizeof why) < 0)
        fail_msg("%s", why);
}

/* ---- the environment ---- */

static const char *const variables[] = {
    "ws_proxy",  "WS_PROXY",  "wss_proxy",   "WSS_PROXY",   "http_proxy", "HTTP_PROXY",
    "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy",   "NO_PROXY",
};

static void clear_environment(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
}

/* "name=value ...", and nothing else. */
static void set_environment(const char *text)
{
    char copy[300], *rest = copy, *word;

    clear_environment();
    strcpy(copy, text);
    while ((word = strsep(&rest, " ")) != NULL && *word != '\0') {
        char *value = strchr(word, '=');

        *value++ = '\0';
        assert_int_equal(setenv(word, value, 1), 0);
    }
    assert_int_equal(wsi_environment_read(&stage.remote.environment), 0);
    clear_environment(); /* read once, when the client is made */
}

/* ---- which one ---- */

static void new_connection(void)
{
    assert_int_equal(wsi_conn_new(&conn, stage.worker, &stage.remote.owner,
                                  &stage.remote.profile, WSI_CLIENT),
                     0);
    wsi_list_append(&stage.worker->conns, &conn->node);
    assert_true(wsi_address_numeric(&conn->opening->peer, "127.0.0.1", 7));
    conn->opening->phase = WSI_OPENING_CONNECT;
}

/* The URL of the proxy that a connection would take, "" for none. */
static void takes(const char *environment, const char *proxy, const char *no_proxy,
                  const char *url, const char *expected)
{
    const struct wsi_way *way;

    begin(url);
    set_environment(environment);
    set("proxy", proxy);
    set("no_proxy", no_proxy);
    new_connection();
    assert_int_equal(wsi_tunneling_choose(conn), 0);
    way = conn->opening->way;
    if (strcmp(way != NULL ? way->proxy : "", expected) != 0)
        fail_msg("%s by way of \"%s\", not \"%s\" (%s)", url,
                 way != NULL ? way->proxy : "", expected, environment);
    if (way != NULL) {
        assert_true(wsi_str_equal(way->tunnel.host, stage.remote.home.url.host));
        assert_int_equal(way->tunnel.port, stage.remote.home.url.port);
    }
    wsi_connecting_fail(conn, WSOCK_CAUSE_RESET, NULL);
    stage_settle(&stage);
    free(stage.seen.text);
    stage.seen = (struct test_transcript){0};
    end();
}

static void variables_are_read_in_order(void **state)
{
    (void)state;
    takes("", "", "", "ws://h", "");
    takes("ws_proxy=a WS_PROXY=b http_proxy=c all_proxy=d ALL_PROXY=e", "", "", "ws://h",
          "a");
    takes("WS_PROXY=b http_proxy=c all_proxy=d ALL_PROXY=e", "", "", "ws://h", "b");
    takes("http_proxy=c all_proxy=d ALL_PROXY=e", "", "", "ws://h", "c");
    takes("all_proxy=d ALL_PROXY=e", "", "", "ws://h", "d");
    takes("ALL_PROXY=e", "", "", "ws://h", "e");
    takes("wss_proxy=a WSS_PROXY=b https_proxy=c HTTPS_PROXY=d all_proxy=e", "", "",
          "wss://h", "a");
    takes("WSS_PROXY=b https_proxy=c HTTPS_PROXY=d all_proxy=e", "", "", "wss://h", "b");
    takes("https_proxy=c HTTPS_PROXY=d all_proxy=e", "", "", "wss://h", "c");
    takes("HTTPS_PROXY=d all_proxy=e", "", "", "wss://h", "d");
    takes("all_proxy=e ALL_PROXY=f", "", "", "wss://h", "e");
    /* One that is empty says nothing. */
    takes("ws_proxy= http_proxy=c", "", "", "ws://h", "c");
}

static void variables_of_the_other_scheme_mean_nothing(void **state)
{
    (void)state;
    takes("wss_proxy=a WSS_PROXY=b https_proxy=c HTTPS_PROXY=d", "", "", "ws://h", "");
    takes("ws_proxy=a WS_PROXY=b http_proxy=c", "", "", "wss://h", "");
    takes("ws_proxy=a wss_proxy=b", "", "", "wss://h", "b");
}

/* It is what a header field "Proxy" becomes in a CGI program. */
static void http_proxy_in_capitals_is_ignored(void **state)
{
    (void)state;
    takes("HTTP_PROXY=a", "", "", "ws://h", "");
    takes("HTTP_PROXY=a", "", "", "wss://h", "");
    takes("HTTP_PROXY=a ALL_PROXY=b", "", "", "ws://h", "b");
}

static void option_goes_before_the_environment(void **state)
{
    (void)state;
    takes("ws_proxy=a", "b", "", "ws://h", "b");
    takes("ws_proxy=a", "none", "", "ws://h", "");
    takes("", "none", "", "ws://h", "");
    takes("ws_proxy=none", "", "", "ws://h", "");
    takes("", "socks5://b:1", "", "wss://h", "socks5://b:1");
}

static void lists_tell_who_needs_none(void **state)
{
    (void)state;
    takes("ws_proxy=a no_proxy=h,i", "", "", "ws://h", "");
    takes("ws_proxy=a NO_PROXY=h", "", "", "ws://h", "");
    takes("ws_proxy=a no_proxy=i NO_PROXY=h", "", "", "ws://h", "a");
    takes("ws_proxy=a no_proxy=i", "", "", "ws://h", "a");
    takes("ws_proxy=a no_proxy=*", "", "", "ws://h", "");
    /* The option replaces the variable. */
    takes("ws_proxy=a no_proxy=h", "", "i", "ws://h", "a");
    takes("ws_proxy=a no_proxy=i", "", "h", "ws://h", "");
    takes("", "b", "h", "ws://x.h", "");
    takes("", "b", "10.0.0.0/8", "ws://10.1.2.3", "");
    takes("", "b", "[::1]", "ws://[::1]:9", "");
    /* What the environment says of its proxy says nothing of another. */
    takes("ws_proxy=a no_proxy=h", "b", "", "ws://h", "b");
}

static void unix_socket_needs_no_proxy(void **state)
{
    (void)state;
    takes("ws_proxy=a all_proxy=b", "", "", "ws+unix:/run/x", "");
    takes("", "b", "", "ws+unix:/run/x", "");
    takes("wss_proxy=a", "b", "", "wss+unix:/run/x", "");
}

/* The scheme may change on the way; the environment has been read by then. */
static void redirect_takes_the_proxy_of_its_scheme(void **state)
{
    struct wsi_destination *moved = wsi_zalloc(sizeof *moved);
    const char *why;

    (void)state;
    begin("ws://h");
    set_environment("ws_proxy=a wss_proxy=b");
    new_connection();
    assert_int_equal(wsi_destination_init(moved, "wss://i", &why), 0);
    conn->opening->moved = moved;
    assert_int_equal(wsi_tunneling_choose(conn), 0);
    assert_string_equal(conn->opening->way->proxy, "b");
    wsi_connecting_fail(conn, WSOCK_CAUSE_RESET, NULL);
    stage_settle(&stage);
    stage_saw(&stage, "closed ended at once by this end");
    end();
}

static void variable_that_is_malformed_fails_the_connection(void **state)
{
    (void)state;
    begin("ws://h");
    set_environment("ws_proxy=socks4://u:secret@p");
    new_connection();
    assert_int_equal(wsi_tunneling_choose(conn), -1);
    stage_settle(&stage);
    stage_saw(&stage, "closed the proxy did not let the connection through");
    assert_string_equal(detail, "the proxy of ws_proxy: the scheme of a proxy is http, "
                                "socks5 or socks5h");
    assert_int_equal(ended.began, WSOCK_BY_US);
    end();
}

static void option_is_judged_when_it_is_set(void **state)
{
    char why[WSI_OPTION_WHY_SIZE] = "";

    (void)state;
    begin("ws://h");
    assert_int_equal(wsi_options_set(&stage.remote.profile.options, "proxy",
                                     "http://u:secret@p:x", false, why, sizeof why),
                     WSOCK_EINVAL);
    assert_string_equal(why, "option \"proxy\": \"p:x\": the port is not a number from 0 "
                             "to 65535");
    assert_int_equal(wsi_options_set(&stage.remote.profile.options, "proxy",
                                     "http://a%3ab@p", false, why, sizeof why),
                     WSOCK_EINVAL);
    end();
}

static int read_environment(struct wsi_environment *out)
{
    int r;

    memset(out, 0, sizeof *out);
    r = wsi_environment_read(out);
    if (r < 0)
        wsi_environment_fini(out);
    return r;
}

static void environment_without_memory_is_told(void **state)
{
    struct wsi_environment environment;
    int result;

    (void)state;
    clear_environment();
    setenv("all_proxy", "p", 1);
    setenv("no_proxy", "h", 1);
    FOR_EACH_OOM(result, result = read_environment(&environment),
                 wsi_environment_fini(&environment));
    clear_environment();
}

/* ---- through it ---- */

/* The socket of a connection to a proxy has just connected. */
static void connect_by(const char *proxy)
{
    begin("ws://h:81/e");
    set("proxy", proxy);
    set("connect_timeout", "5s");
    new_connection();
    assert_int_equal(wsi_tunneling_choose(conn), 0);
    wsi_opening_set_deadline(
        conn, (uint64_t)wsi_option(&conn->profile->options, WSI_OPT_CONNECT_TIMEOUT));
    assert_int_equal(wsi_stream_adopt(&conn->stream, stage.loop,
                                      script_peer_init(&stage.script[0], &peer)),
                     0);
    stage_fix_random(&stage);
    wsi_reaching_connected(conn);
    stage_settle(&stage);
}

#define CONNECT "CONNECT h:81 HTTP/1.1\r\nHost: h:81\r\n\r\n"

static void fails(const char *events, const char *why)
{
    stage_ended(&stage, &peer);
    stage_saw(&stage, events);
    assert_string_equal(detail, why);
    end();
}

static const char *const refused = "closed the proxy did not let the connection through";

static void open_through(const char *proxy, size_t read_max)
{
    connect_by(proxy);
    peer.read_max = read_max;
    stage_sent(&peer, CONNECT);
    script_feed(&peer, "HTTP/1.1 200 OK\r\n\r\n", 19);
    stage_settle(&stage);
    stage_sent_bytes(&peer, stage_asked, strlen(stage_asked));
    script_feed(&peer, stage_answer, strlen(stage_answer));
    stage_settle(&stage);
    stage_saw(&stage, "open");
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "closed ended at once by this end");
    assert_int_equal(ended.http_status, 101);
    end();
}

static void way_through_http_opens(void **state)
{
    (void)state;
    open_through("p", SCRIPT_UNLIMITED);
    open_through("p", 1);
}

static void way_through_socks_opens(void **state)
{
    (void)state;
    connect_by("socks5://u:w@p");
    peer.read_max = 1;
    stage_sent(&peer, "\5\2\0\2");
    script_feed(&peer, "\5\2", 2);
    stage_settle(&stage);
    stage_sent(&peer, "\1\1u\1w");
    script_feed(&peer, "\1\0", 2);
    stage_settle(&stage);
    stage_sent(&peer, "\5\1\0\3\1h\0\x51");
    script_feed(&peer, "\5\0\0\1\0\0\0\0\0\0", 10);
    stage_settle(&stage);
    stage_sent_bytes(&peer, stage_asked, strlen(stage_asked));
    script_feed(&peer, stage_answer, strlen(stage_answer));
    stage_settle(&stage);
    stage_saw(&stage, "open");
    stage_drop(&stage, conn, &peer);
    stage_saw(&stage, "closed ended at once by this end");
    end();
}

static void proxy_that_refuses_is_told_with_its_status(void **state)
{
    (void)state;
    connect_by("p");
    script_feed(&peer, "HTTP/1.1 407 No\tpass\r\nContent-Length: 0\r\n\r\n", 43);
    fails(refused, "the proxy 127.0.0.1:7: it answered 407 No?pass");
    assert_int_equal(ended.http_status, 407);
    assert_int_equal(ended.began, WSOCK_BY_PEER);
    assert_int_equal(ended.opened, 0);

    connect_by("socks5://p");
    script_feed(&peer, "\5\0\5\5", 4);
    fails(refused, "the proxy 127.0.0.1:7: the server refused the connection");
    assert_int_equal(ended.http_status, 0);
}

static void proxy_that_ends_the_connection_fails_it(void **state)
{
    (void)state;
    connect_by("p");
    peer.eof = true;
    fails(refused, "the proxy 127.0.0.1:7 ended the connection");
    assert_int_equal(ended.sys_errno, 0);

    connect_by("p");
    script_feed(&peer, "HTTP/1.1 200 O", 14);
    peer.eof = true;
    fails(refused, "the proxy 127.0.0.1:7 ended the connection");

    connect_by("p");
    script_feed(&peer, "HTTP/1.1 200 O", 14);
    peer.read_resets = 14;
    fails(refused,
          "the proxy 127.0.0.1:7 ended the connection: Connection reset by peer");
    assert_int_equal(ended.sys_errno, ECONNRESET);
}

static void silent_proxy_ends_with_connect_timeout(void **state)
{
    (void)state;
    connect_by("p");
    stage_run(&stage, 4999);
    stage_saw(&stage, "");
    script_feed(&peer, "HTTP/1.1 200 O", 14); /* no progress that counts */
    stage_run(&stage, 1);
    fails("closed the connection was not made in time",
          "the proxy p:80 let nothing through in time");
    assert_int_equal(ended.began, WSOCK_BY_US);
}

static void times_out_before_it_is_reached(const char *proxy, const char *why)
{
    begin("ws://h:81/e");
    set("connect_timeout", "5s");
    if (proxy != NULL)
        set("proxy", proxy);
    new_connection();
    assert_int_equal(wsi_tunneling_choose(conn), 0);
    wsi_opening_set_deadline(conn, 5000);
    stage_run(&stage, 4999);
    stage_saw(&stage, "");
    stage_run(&stage, 1);
    stage_saw(&stage, "closed the connection was not made in time");
    assert_string_equal(detail, why);
    end();
}

static void proxy_that_is_not_reached_is_named(void **state)
{
    (void)state;
    times_out_before_it_is_reached("socks5://hop.example",
                                   "the proxy hop.example:1080 was not reached in time");
    times_out_before_it_is_reached("http://[::1]:8080",
                                   "the proxy [::1]:8080 was not reached in time");
    times_out_before_it_is_reached(NULL, "the connection was not made in time");
}

/* connect_timeout ends with the proxy's answer; what comes then has a limit of its own.
 */
static void silent_server_behind_a_proxy_ends_with_handshake_timeout(void **state)
{
    (void)state;
    connect_by("p");
    set("handshake_timeout", "20s");
    script_feed(&peer, "HTTP/1.1 200 OK\r\n\r\n", 19);
    stage_run(&stage, 19999);
    stage_saw(&stage, "");
    stage_run(&stage, 2);
    fails("closed the handshake was not finished in time",
          "the handshake was not finished in time");
}

static void server_that_speaks_before_it_was_asked_fails(void **state)
{
    (void)state;
    connect_by("p");
    stage_sent(&peer, CONNECT);
    script_feed(&peer, "HTTP/1.1 200 OK\r\n\r\n", 19);
    script_feed(&peer, stage_answer, strlen(stage_answer));
    fails("closed the server's answer was no valid handshake",
          "the server speaks before it was asked");

    connect_by("socks5://p");
    script_feed(&peer, "\5\0", 2);
    stage_settle(&stage);
    script_feed(&peer, "\5\0\0\1\0\0\0\0\0\0x", 11);
    fails("closed the server's answer was no valid handshake",
          "the server speaks before it was asked");
}

/* What we would say to it next would be in the way of what follows. */
static void proxy_that_answers_before_it_was_asked_fails(void **state)
{
    (void)state;
    connect_by("socks5://p");
    script_feed(&peer, "\5\0\5\0\0\1\0\0\0\0\0\0", 12);
    fails("closed the proxy did not let the connection through",
          "the proxy 127.0.0.1:7: it answers before it was asked");
}

static void endless_head_is_not_kept(void **state)
{
    static char line[1000];

    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    line[1] = ':';
    connect_by("p");
    script_feed(&peer, "HTTP/1.1 200 OK\r\n", 17);
    for (int i = 0; i < 50; i++)
        script_feed(&peer, line, sizeof line);
    peer.read_max = 4000;
    fails(refused, "the proxy 127.0.0.1:7: the head is larger than the limit");
}

static void connection_that_is_given_up_ends_in_the_tunnel(void **state)
{
    (void)state;
    connect_by("p");
    wsi_opening_give_up(conn);
    fails("closed ended at once by this end", "given up before it was open");
    connect_by("p");
    wsi_opening_go_away(conn);
    fails("closed cut off when the server or runtime stopped",
          "cut off when the server or runtime stopped");
}

/* Nothing hangs and nothing leaks, wherever memory ends. */
static void memory_may_end_on_the_way(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } answers[] = {{"\5\2", 2}, {"\1\0", 2}, {"\5\0\0\1\0\0\0\0\0\0", 10}};
    size_t refusals = 1, n;

    (void)state;
    for (n = 1; refusals > 0; n++) {
        assert_true(n < 100);
        connect_by("socks5://u:w@p");
        test_fail_allocation(n, 1);
        for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
            script_feed(&peer, answers[i].bytes, answers[i].len);
            stage_settle(&stage);
        }
        refusals = test_stop_failing();
        if (refusals > 0) {
            stage_ended(&stage, &peer);
            stage_saw(&stage, "closed out of memory");
        } else {
            stage_drop(&stage, conn, &peer);
            stage_saw(&stage, "closed ended at once by this end");
        }
        end();
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(variables_are_read_in_order),
        TEST(variables_of_the_other_scheme_mean_nothing),
        TEST(http_proxy_in_capitals_is_ignored),
        TEST(option_goes_before_the_environment),
        TEST(lists_tell_who_needs_none),
        TEST(unix_socket_needs_no_proxy),
        TEST(redirect_takes_the_proxy_of_its_scheme),
        TEST(variable_that_is_malformed_fails_the_connection),
        TEST(option_is_judged_when_it_is_set),
        TEST(environment_without_memory_is_told),
        TEST(way_through_http_opens),
        TEST(way_through_socks_opens),
        TEST(proxy_that_refuses_is_told_with_its_status),
        TEST(proxy_that_ends_the_connection_fails_it),
        TEST(silent_proxy_ends_with_connect_timeout),
        TEST(proxy_that_is_not_reached_is_named),
        TEST(silent_server_behind_a_proxy_ends_with_handshake_timeout),
        TEST(server_that_speaks_before_it_was_asked_fails),
        TEST(proxy_that_answers_before_it_was_asked_fails),
        TEST(endless_head_is_not_kept),
        TEST(connection_that_is_given_up_ends_in_the_tunnel),
        TEST(memory_may_end_on_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
