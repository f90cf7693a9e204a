/* SPDX-License-Identifier: MIT */
/* permessage-deflate on connections: what is agreed, messages out and in, what is held.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/compress.h"
#include "conn/encode.h"
#include "conn/extra.h"
#include "conn/send.h"
#include "core/alloc.h"
#include "far.h"
#include "stage.h"

static struct stage stage;
static struct script_peer peer;
static struct wsock_conn *conn;
static struct far far;

enum { LONGEST = 300000, MESSAGE_MAX = 1024 * 1024 };

/* What the handlers got last, besides the transcript. */
static struct {
    int count, type;
    uint8_t *data;
    size_t len;
    char detail[256];
    int cause, code;
} got;

static void get_message(wsock_conn *from, int type, const void *data, size_t len,
                        void *user)
{
    (void)from;
    (void)user;
    got.count++;
    got.type = type;
    got.len = len;
    got.data = realloc(got.data, len + 1);
    assert_non_null(got.data);
    if (len > 0)
        memcpy(got.data, data, len);
}

static void get_close(wsock_conn *from, const wsock_close_info *info, void *user)
{
    (void)from;
    (void)user;
    got.cause = info->cause;
    got.code = info->code;
    snprintf(got.detail, sizeof got.detail, "%s", info->detail);
}

static void watch(struct wsi_profile *profile)
{
    assert_int_equal(wsi_profile_on(profile, &stage.pool, WSI_ON_MESSAGE,
                                    (union wsi_handler_fn){.message = get_message}, true,
                                    NULL, NULL),
                     0);
    assert_int_equal(wsi_profile_on(profile, &stage.pool, WSI_ON_CLOSE,
                                    (union wsi_handler_fn){.close = get_close}, true,
                                    NULL, NULL),
                     0);
}

static void set_of(struct wsi_profile *profile, const char *name, const char *value)
{
    assert_int_equal(wsi_options_set(&profile->options, name, value, true, NULL, 0), 0);
}

static void set(const char *name, const char *value)
{
    set_of(&stage.endpoint, name, value);
    set_of(&stage.remote.profile, name, value);
}

/* "NAME=VALUE NAME=VALUE" */
static void set_all(const char *settings)
{
    char name[64], value[64];
    int used;

    while (sscanf(settings, " %63[^=]=%63s%n", name, value, &used) == 2) {
        set(name, value);
        settings += used;
    }
}

static void begin(const char *settings)
{
    got.count = 0;
    stage_begin(&stage, 1);
    watch(&stage.endpoint);
    watch(&stage.remote.profile);
    stage_settle(&stage);
    set_all(settings);
}

static void finish(void)
{
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
    free(got.data);
    got.data = NULL;
}

/* ---- opening ---- */

/* Ask with these header lines. What was answered is in peer.output, terminated. */
static void ask(const char *lines)
{
    const size_t request = strlen(stage_request);

    conn = stage_accept(&stage, &peer, 0);
    script_feed(&peer, stage_request, request - 2);
    script_feed(&peer, lines, strlen(lines));
    script_feed(&peer, "\r\n", 2);
    stage_settle(&stage);
    assert_true(peer.output.len < peer.output.capacity);
    peer.output.data[peer.output.len] = '\0';
}

/* The answer's extensions, "" without any. */
static const char *extensions_in(const char *head)
{
    static const char name[] = "Sec-WebSocket-Extensions: ";
    static char value[256];
    const char *at = strstr(head, name);

    value[0] = '\0';
    if (at != NULL)
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at + sizeof name - 1, "\r"),
                 at + sizeof name - 1);
    return value;
}

#define EXT "Sec-WebSocket-Extensions: "
#define PMD "permessage-deflate"

static void open_server(const char *offer)
{
    char lines[256];

    snprintf(lines, sizeof lines, EXT "%s\r\n", offer);
    ask(lines);
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    peer.output.len = 0;
}

/* What the client asks; the answer has these header lines. */
static void answer(const char *lines, char *asked, size_t size)
{
    conn = stage_connect(&stage, &peer);
    stage_settle(&stage);
    snprintf(asked, size, "%.*s", (int)peer.output.len, (const char *)peer.output.data);
    peer.output.len = 0;
    script_feed(&peer, stage_answer, strlen(stage_answer) - 2);
    script_feed(&peer, lines, strlen(lines));
    script_feed(&peer, "\r\n", 2);
    stage_settle(&stage);
}

static void open_client(const char *extensions)
{
    char lines[256], asked[1024];

    snprintf(lines, sizeof lines, EXT "%s\r\n", extensions);
    answer(lines, asked, sizeof asked);
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
}

static void server_answers_offers_by_its_mode(void **state)
{
    static const struct {
        const char *settings, *lines, *answer;
    } cases[] = {
        {"", EXT PMD "\r\n", ""},
        {"", EXT "=;=\r\n", ""}, /* off never looks */
        {"compression=shared", "", ""},
        {"compression=shared", EXT PMD "\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"},
        {"compression=shared", EXT PMD "; client_max_window_bits\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"},
        {"compression=shared compression_window_bits=10", EXT PMD "\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"
             "; server_max_window_bits=10"},
        {"compression=shared", EXT PMD "; server_max_window_bits=8\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"
             "; server_max_window_bits=8"},
        {"compression=shared compression_peer_window_bits=9",
         EXT PMD "; client_max_window_bits=12\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"
             "; client_max_window_bits=9"},
        {"compression=dedicated", EXT PMD "; client_max_window_bits\r\n",
         PMD "; server_max_window_bits=12; client_max_window_bits=12"},
        {"compression=dedicated", EXT PMD "\r\n",
         PMD "; client_no_context_takeover; server_max_window_bits=12"},
        {"compression=dedicated compression_window_bits=15 "
         "compression_peer_window_bits=15",
         EXT PMD "\r\n", PMD},
        {"compression=dedicated",
         EXT PMD "; server_no_context_takeover; client_no_context_takeover\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"
             "; server_max_window_bits=12"},
        {"compression=shared", EXT "x-one; a=b, x-two\r\n", ""},
        {"compression=shared",
         EXT PMD "; server_max_window_bits=7, " PMD "; unknown, " PMD
                 "; server_max_window_bits=9; server_max_window_bits=9, " PMD
                 "; server_max_window_bits=9\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"
             "; server_max_window_bits=9"},
        {"compression=shared", EXT PMD "; unknown\r\n", ""},
        {"compression=shared",
         EXT PMD "; unknown\r\n" EXT PMD "; server_max_window_bits=11\r\n",
         PMD "; server_no_context_takeover; client_no_context_takeover"
             "; server_max_window_bits=11"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(cases[i].settings);
        ask(cases[i].lines);
        assert_string_equal(extensions_in((const char *)peer.output.data),
                            cases[i].answer);
        assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
        assert_int_equal(conn->pmd.own_window_bits != 0, cases[i].answer[0] != '\0');
        finish();
    }
}

static void offer_that_breaks_the_grammar_is_a_bad_request(void **state)
{
    static const char *const lines[] = {
        EXT "=\r\n",
        EXT PMD "; =5\r\n",
        EXT PMD ";\r\n",
        EXT PMD "; server_max_window_bits=\"\r\n",
        EXT PMD "\r\n" EXT PMD " " PMD "\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        begin("compression=shared");
        ask(lines[i]);
        assert_memory_equal(peer.output.data, "HTTP/1.1 400 ", 13);
        assert_non_null(
            strstr((char *)peer.output.data, "Sec-WebSocket-Extensions is malformed"));
        finish();
    }
}

static void client_offers_by_its_mode(void **state)
{
    static const struct {
        const char *settings, *offer;
    } cases[] = {
        {"", ""},
        {"compression=shared", PMD "; server_no_context_takeover; "
                                   "client_no_context_takeover; client_max_window_bits"},
        {"compression=dedicated",
         PMD "; server_max_window_bits=12; client_max_window_bits=12"},
        {"compression=dedicated compression_window_bits=15 "
         "compression_peer_window_bits=15",
         PMD "; client_max_window_bits"},
        {"compression=shared compression_window_bits=9 compression_peer_window_bits=10",
         PMD "; server_no_context_takeover; client_no_context_takeover; "
             "server_max_window_bits=10; client_max_window_bits=9"},
    };
    char asked[1024];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(cases[i].settings);
        answer("", asked, sizeof asked); /* the server declines */
        assert_string_equal(extensions_in(asked), cases[i].offer);
        assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
        assert_int_equal(conn->pmd.own_window_bits, 0);
        finish();
    }
}

static void client_fails_on_what_it_did_not_offer(void **state)
{
    static const struct {
        const char *settings, *extensions, *why;
    } cases[] = {
        {"compression=shared", "x-one",
         "the server chose an extension that was not offered"},
        {"compression=shared", PMD,
         "the server did not accept server_no_context_takeover"},
        {"compression=shared",
         PMD "; server_no_context_takeover, " PMD "; server_no_context_takeover",
         "the server chose " PMD " twice"},
        {"compression=shared", PMD "; server_no_context_takeover; unknown",
         PMD " has an unknown parameter"},
        {"compression=shared", PMD "; server_no_context_takeover=1",
         PMD " has a value where none belongs"},
        {"compression=dedicated", PMD "; server_max_window_bits=13",
         "the server did not accept server_max_window_bits"},
        {"compression=dedicated", PMD,
         "the server did not accept server_max_window_bits"},
        {"compression=dedicated", PMD "; server_max_window_bits=012",
         PMD " has window bits that are not 8 to 15"},
        {"compression=dedicated", PMD "; server_max_window_bits=12, ;",
         "Sec-WebSocket-Extensions is malformed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char lines[256], asked[1024], detail[256];

        begin(cases[i].settings);
        snprintf(lines, sizeof lines, EXT "%s\r\n", cases[i].extensions);
        answer(lines, asked, sizeof asked);
        stage_ended(&stage, &peer);
        assert_int_equal(got.cause, WSOCK_CAUSE_HANDSHAKE);
        snprintf(detail, sizeof detail, "the server's answer: %s", cases[i].why);
        assert_string_equal(got.detail, detail);
        stage_end(&stage);
    }
}

static void client_that_offers_nothing_takes_no_extension(void **state)
{
    char asked[1024];

    (void)state;
    begin("");
    answer(EXT PMD "\r\n", asked, sizeof asked);
    stage_ended(&stage, &peer);
    assert_int_equal(got.cause, WSOCK_CAUSE_HANDSHAKE);
    stage_end(&stage);
}

/* ---- both roles, all modes ---- */

static const struct mode {
    const char *settings;
    const char *offer;  /* of the client at the far end, to our server */
    const char *answer; /* of the server at the far end, to our client */
    int own_bits, peer_bits;
    bool own_takeover, peer_takeover;
} modes[] = {
    {"compression=shared", PMD,
     PMD "; server_no_context_takeover; client_no_context_takeover", 15, 15, false,
     false},
    {"compression=shared compression_window_bits=9 compression_peer_window_bits=10",
     PMD "; client_max_window_bits",
     PMD "; server_no_context_takeover; client_no_context_takeover; "
         "server_max_window_bits=10; client_max_window_bits=9",
     9, 10, false, false},
    {"compression=dedicated", PMD "; client_max_window_bits",
     PMD "; server_max_window_bits=12; client_max_window_bits=12", 12, 12, true, true},
    {"compression=dedicated compression_window_bits=15 compression_peer_window_bits=15",
     PMD, PMD, 15, 15, true, true},
    {"compression=dedicated compression_window_bits=8 compression_peer_window_bits=9",
     PMD "; client_max_window_bits",
     PMD "; server_max_window_bits=9; client_max_window_bits=8", 8, 9, true, true},
    {"compression=dedicated", PMD "; server_no_context_takeover",
     PMD "; server_no_context_takeover; client_no_context_takeover", 12, 15, false,
     false},
};
enum { MODES = sizeof modes / sizeof modes[0], SHARED = 0, DEDICATED = 2 };

static void open_mode(const struct mode *mode, enum wsi_role role)
{
    begin(mode->settings);
    if (role == WSI_SERVER)
        open_server(mode->offer);
    else
        open_client(mode->answer);
    assert_int_equal(conn->pmd.own_window_bits, mode->own_bits);
    assert_int_equal(conn->pmd.own_takeover, mode->own_takeover);
    assert_int_equal(conn->pmd.peer_takeover, mode->peer_takeover);
    /* zlib sends no further back than a window of 9 allows, even where 8 was agreed. */
    far_init(&far, role == WSI_SERVER, mode->own_bits, mode->own_takeover,
             mode->peer_bits > 9 ? mode->peer_bits : 9, mode->peer_takeover);
}

static void finish_mode(void)
{
    assert_false(far_next(&far, &peer));
    far_fini(&far);
    finish();
}

/* Prose of a kind: repeats near and far. */
static void write_text(char *out, size_t len, uint32_t seed)
{
    static const char *const words[] = {"quick ", "brown ", "fox ",  "jumps ",
                                        "över ",  "lazy ",  "dog, ", "and "};
    size_t at = 0;

    while (at < len) {
        const char *word = words[test_random(&seed) % 8];
        const size_t n = strlen(word);

        if (at + n > len)
            break;
        memcpy(out + at, word, n);
        at += n;
    }
    memset(out + at, '.', len - at);
}

static void write_noise(uint8_t *out, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(test_random(&seed) >> 16);
}

static const size_t sizes[] = {0,    1,    255,   256,   257,   1000,   4000,
                               4096, 5000, 32768, 65535, 65536, LONGEST};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* With libdeflate long messages go without the context of a large window. */
static bool stands_alone(size_t len)
{
    return conn->pmd.own_window_bits == 15 && len >= 65536 &&
           wsi_deflate_prefers_no_context(15, len);
}

static void messages_of_all_sizes_reach_the_far_end(void **state)
{
    char *text = malloc(LONGEST);
    uint8_t *noise = malloc(LONGEST);

    (void)state;
    for (size_t m = 0; m < 2 * MODES; m++) {
        const struct mode *mode = &modes[m / 2];

        open_mode(mode, m % 2 == 0 ? WSI_SERVER : WSI_CLIENT);
        for (size_t i = 0; i < SIZES; i++) {
            const unsigned packed = sizes[i] >= 256 ? FAR_RSV1 : 0;

            write_text(text, sizes[i], 1 + (uint32_t)i);
            write_noise(noise, sizes[i], 1 + (uint32_t)i);
            assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizes[i]), 0);
            stage_settle(&stage);
            far_got(&far, &peer, 0x81 | packed, text, sizes[i]);
            assert_true(packed == 0 || far.wire_len < sizes[i]);
            assert_int_equal(wsi_conn_send(conn, WSOCK_BINARY, noise, sizes[i]), 0);
            stage_settle(&stage);
            /* What gets no shorter goes as it is, unless it goes with a context. */
            far_got(&far, &peer,
                    0x82 | (mode->own_takeover && !stands_alone(sizes[i]) ? packed : 0),
                    noise, sizes[i]);
        }
        finish_mode();
    }
    free(text);
    free(noise);
}

static void messages_of_all_sizes_come_in(void **state)
{
    char *text = malloc(LONGEST);

    (void)state;
    for (size_t m = 0; m < 2 * MODES; m++) {
        int count = 0;

        open_mode(&modes[m / 2], m % 2 == 0 ? WSI_SERVER : WSI_CLIENT);
        for (size_t i = 0; i < SIZES; i++)
            for (size_t fragments = 1; fragments < 5; fragments += 3) {
                write_text(text, sizes[i], 1 + (uint32_t)i);
                far_feed(&far, &peer, WSOCK_TEXT, text, sizes[i], fragments);
                if (i % 3 == 1) /* one that is not compressed, in between */
                    far_feed_raw(&far, &peer, 0x82, "plain", 5);
                stage_settle(&stage);
                count += i % 3 == 1 ? 2 : 1;
                assert_int_equal(got.count, count);
                if (i % 3 == 1)
                    continue;
                assert_int_equal(got.type, WSOCK_TEXT);
                assert_int_equal(got.len, sizes[i]);
                if (got.len > 0)
                    assert_memory_equal(got.data, text, got.len);
            }
        finish_mode();
    }
    free(text);
}

static void context_makes_what_was_said_before_short(void **state)
{
    char text[1000];

    (void)state;
    write_text(text, sizeof text, 5);
    for (int keeps = 0; keeps < 2; keeps++) {
        size_t first;

        open_mode(&modes[keeps ? DEDICATED : SHARED], WSI_SERVER);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizeof text), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizeof text), 0);
        stage_settle(&stage);
        far_got(&far, &peer, 0xc1, text, sizeof text);
        first = far.wire_len;
        far_got(&far, &peer, 0xc1, text, sizeof text);
        if (keeps)
            assert_true(far.wire_len < 30);
        else
            assert_int_equal(far.wire_len, first);
        finish_mode();
    }
}

static void contexts_of_two_connections_do_not_mix(void **state)
{
    struct wsock_conn *conns[2];
    struct script_peer peers[2];
    struct far ends[2];
    char text[1000];

    (void)state;
    begin(modes[DEDICATED].settings);
    for (int i = 0; i < 2; i++)
        conns[i] = far_accept(&ends[i], &stage, &peers[i], 0, modes[DEDICATED].offer);
    for (int round = 0; round < 6; round++) {
        const int i = round % 2;

        write_text(text, sizeof text, 1 + (uint32_t)round % 3);
        far_feed(&ends[i], &peers[i], WSOCK_TEXT, text, sizeof text, 1);
        assert_int_equal(wsi_conn_send(conns[i], WSOCK_TEXT, text, sizeof text), 0);
        stage_settle(&stage);
        assert_int_equal(got.count, round + 1);
        assert_memory_equal(got.data, text, sizeof text);
        far_got(&ends[i], &peers[i], 0xc1, text, sizeof text);
    }
    for (int i = 0; i < 2; i++) {
        stage_drop(&stage, conns[i], &peers[i]);
        far_fini(&ends[i]);
    }
    stage_end(&stage);
    free(got.data);
    got.data = NULL;
}

/* ---- what is sent as it is ---- */

static void flag_and_small_size_leave_a_message_as_it_is(void **state)
{
    char text[301];

    (void)state;
    memset(text, 'x', sizeof text);
    for (int m = SHARED; m <= DEDICATED; m += DEDICATED) {
        open_mode(&modes[m], WSI_SERVER);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, 255), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, 256), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT | WSOCK_UNCOMPRESSED, text, 256),
                         0);
        assert_int_equal(
            wsi_conn_send(conn, WSOCK_BINARY | WSOCK_UNCOMPRESSED, text, 256), 0);
        set("compression_min_bytes", "301");
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, 300), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, 301), 0);
        set("compression_min_bytes", "0");
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, "", 0), 0);
        stage_settle(&stage);
        far_got(&far, &peer, 0x81, text, 255);
        far_got(&far, &peer, 0xc1, text, 256);
        far_got(&far, &peer, 0x81, text, 256);
        far_got(&far, &peer, 0x82, text, 256);
        far_got(&far, &peer, 0x81, text, 300);
        far_got(&far, &peer, 0xc1, text, 301);
        far_got(&far, &peer, m == SHARED ? 0x81 : 0xc1, "", 0);
        finish_mode();
    }
}

static void flag_is_ignored_without_compression(void **state)
{
    (void)state;
    begin("");
    conn = stage_accept_open(&stage, &peer);
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT | WSOCK_UNCOMPRESSED, "x", 1), 0);
    assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT | WSOCK_UNCOMPRESSED, "\xff", 1),
                     WSOCK_EUTF8);
    stage_settle(&stage);
    stage_sent(&peer, "\x81\x01x");
    finish();
}

static void text_is_checked_before_it_is_compressed(void **state)
{
    char text[300];

    (void)state;
    memset(text, '\xff', sizeof text);
    for (int m = SHARED; m <= DEDICATED; m += DEDICATED) {
        open_mode(&modes[m], WSI_SERVER);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizeof text), WSOCK_EUTF8);
        finish_mode();
    }
}

static void option_that_changes_matters_to_new_connections_only(void **state)
{
    char text[1000];

    (void)state;
    write_text(text, sizeof text, 3);
    for (int m = SHARED; m <= DEDICATED; m += DEDICATED) {
        open_mode(&modes[m], WSI_SERVER);
        set_all("compression=off compression_window_bits=8 "
                "compression_peer_window_bits=8 compression_memory_level=1 "
                "compression_level=1");
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizeof text), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text, sizeof text), 0);
        far_feed(&far, &peer, WSOCK_TEXT, text, sizeof text, 1);
        far_feed(&far, &peer, WSOCK_TEXT, text, sizeof text, 1);
        stage_settle(&stage);
        far_got(&far, &peer, 0xc1, text, sizeof text);
        far_got(&far, &peer, 0xc1, text, sizeof text);
        assert_int_equal(got.count, 2);
        stage_drop(&stage, conn, &peer);
        open_server(PMD);
        assert_int_equal(conn->pmd.own_window_bits, 0);
        finish_mode();
    }
}

/* ---- order ---- */

static int send_from_elsewhere(const char *text, size_t len)
{
    int r;

    wsi_worker_current = NULL;
    r = wsi_conn_send(conn, WSOCK_TEXT, text, len);
    wsi_worker_current = stage.worker;
    return r;
}

static void messages_by_mail_keep_their_order_and_the_context(void **state)
{
    char text[6][1000];

    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        write_text(text[i], sizeof text[i], i / 2 + 1); /* pairs repeat each other */
    for (size_t m = 0; m < MODES; m++) {
        open_mode(&modes[m], m % 2 == 0 ? WSI_SERVER : WSI_CLIENT);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text[0], 1000), 0);
        assert_int_equal(send_from_elsewhere(text[1], 1000), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text[2], 1000), 0);
        assert_int_equal(wsi_conn_send_control(conn, WSI_OP_PING, "p", 1), 0);
        assert_int_equal(send_from_elsewhere(text[3], 1000), 0);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text[4], 200), 0); /* plain */
        stage_settle(&stage);
        assert_int_equal(wsi_conn_send(conn, WSOCK_TEXT, text[5], 1000), 0);
        stage_settle(&stage);
        for (int i = 0; i < 4; i++) {
            if (i == 3)
                far_got(&far, &peer, 0x89, "p", 1);
            far_got(&far, &peer, 0xc1, text[i], 1000);
        }
        far_got(&far, &peer, 0x81, text[4], 200);
        far_got(&far, &peer, 0xc1, text[5], 1000);
        assert_int_equal(wsi_conn_buffered(conn), 0);
        finish_mode();
    }
}

/* ---- what a peer must not send ---- */

/* The close frame, whose payload far_next() has taken. */
static void ends_with(unsigned code, const char *reason)
{
    assert_true(far_next(&far, &peer));
    assert_int_equal(far.byte0, 0x88);
    assert_true(far.data.len >= 2);
    assert_int_equal(far.data.data[0] << 8 | far.data.data[1], code);
    assert_int_equal(far.data.len - 2, strlen(reason));
    assert_memory_equal(far.data.data + 2, reason, strlen(reason));
    assert_false(far_next(&far, &peer));
    peer.eof = true;
    stage_ended(&stage, &peer);
}

static void finish_ended(int cause)
{
    assert_int_equal(got.cause, cause);
    far_fini(&far);
    stage_end(&stage);
    free(got.data);
    got.data = NULL;
}

static void message_inflates_to_the_limit_and_no_further(void **state)
{
    uint8_t *zeros = calloc(1, 10 * MESSAGE_MAX);

    (void)state;
    for (size_t m = 0; m < MODES; m++)
        for (int i = 0; i < 8; i++) {
            static const size_t over[] = {(size_t)-1, 0, 1, 9 * MESSAGE_MAX};
            const size_t len = MESSAGE_MAX + over[i % 4];

            open_mode(&modes[m], m % 2 == 0 ? WSI_SERVER : WSI_CLIENT);
            far_feed(&far, &peer, WSOCK_BINARY, zeros, len, i < 4 ? 1 : 7);
            stage_settle(&stage);
            if (len <= MESSAGE_MAX) {
                assert_int_equal(got.count, 1);
                assert_int_equal(got.len, len);
                finish_mode();
                continue;
            }
            ends_with(1009, "a message inflates to more than max_message_bytes");
            assert_int_equal(got.count, 0);
            assert_true(stage.worker->inflated.capacity <= 256 * 1024);
            finish_ended(WSOCK_CAUSE_LIMIT);
        }
    free(zeros);
}

static void noise_of_the_limit_may_come_compressed(void **state)
{
    uint8_t *noise = malloc(MESSAGE_MAX);

    (void)state;
    write_noise(noise, MESSAGE_MAX, 7);
    for (size_t fragments = 1; fragments < 5; fragments += 3) {
        open_mode(&modes[SHARED], WSI_SERVER);
        far_feed(&far, &peer, WSOCK_BINARY, noise, MESSAGE_MAX, fragments);
        stage_settle(&stage);
        assert_int_equal(got.count, 1);
        assert_memory_equal(got.data, noise, MESSAGE_MAX);
        finish_mode();
    }
    free(noise);
}

static void rubbish_is_invalid_data(void **state)
{
    static const struct {
        const char *payload;
        size_t len;
    } cases[] = {
        {"\xff\xff\xff", 3},         /* a block of the kind that there is not */
        {"\x03\xff", 2},             /* bytes behind the end */
        {"\xf2\x48", 2},             /* cut short */
        {"\x00\x05\x00\xfa", 4},     /* a stored block without its bytes */
        {"\x0a\x00\x01\x02\x03", 5}, /* refers to before the beginning, or worse */
    };

    (void)state;
    for (size_t m = 0; m < MODES; m++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            open_mode(&modes[m], m % 2 == 0 ? WSI_SERVER : WSI_CLIENT);
            far_feed_raw(&far, &peer, 0x42, cases[i].payload, 1);
            far_feed_raw(&far, &peer, 0x80, cases[i].payload + 1, cases[i].len - 1);
            stage_settle(&stage);
            ends_with(1007, "a compressed message is no valid DEFLATE data");
            assert_int_equal(got.count, 0);
            finish_ended(WSOCK_CAUSE_PROTOCOL);
        }
}

static void text_inside_must_be_utf8(void **state)
{
    char text[1000];

    (void)state;
    for (size_t fragments = 1; fragments < 5; fragments++) {
        write_text(text, sizeof text, 9);
        open_mode(&modes[fragments % 2 ? SHARED : DEDICATED], WSI_SERVER);
        far_feed(&far, &peer, WSOCK_TEXT, text, sizeof text, fragments);
        text[999] = '\xc3'; /* the first half of a character */
        far_feed(&far, &peer, WSOCK_TEXT, text, sizeof text, fragments);
        far_feed(&far, &peer, WSOCK_TEXT, "later", 5, 1);
        stage_settle(&stage);
        assert_int_equal(got.count, 1);
        ends_with(1007, "a text message is not valid UTF-8");
        finish_ended(WSOCK_CAUSE_PROTOCOL);
    }
}

static void rsv1_belongs_to_the_first_frame_of_a_message(void **state)
{
    static const unsigned frames[][2] = {{0x42, 0xc0}, {0xc9, 0}, {0xc8, 0}, {0xe2, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        open_mode(&modes[SHARED], WSI_SERVER);
        for (int k = 0; k < 2 && frames[i][k] != 0; k++)
            far_feed_raw(&far, &peer, frames[i][k], "", 0);
        stage_settle(&stage);
        assert_true(far_next(&far, &peer));
        assert_int_equal(far.data.data[0] << 8 | far.data.data[1], 1002);
        peer.eof = true;
        stage_ended(&stage, &peer);
        finish_ended(WSOCK_CAUSE_PROTOCOL);
    }
}

static void bad_peer_does_not_disturb_another_of_the_same_worker(void **state)
{
    struct wsock_conn *good;
    struct script_peer good_peer;
    struct far good_far;
    char text[1000];

    (void)state;
    write_text(text, sizeof text, 4);
    begin("compression=shared");
    good = far_accept(&good_far, &stage, &good_peer, 0, PMD);
    for (int i = 0; i < 3; i++) {
        conn = far_accept(&far, &stage, &peer, 0, PMD);
        far_feed(&good_far, &good_peer, WSOCK_TEXT, text, sizeof text, 1);
        far_feed_raw(&far, &peer, 0xc2, "\xff\xff\xff", 3);
        stage_settle(&stage);
        far_feed(&good_far, &good_peer, WSOCK_TEXT, text, sizeof text, 1);
        stage_settle(&stage);
        assert_int_equal(got.count, 2 * (i + 1));
        assert_memory_equal(got.data, text, sizeof text);
        ends_with(1007, "a compressed message is no valid DEFLATE data");
        far_fini(&far);
    }
    far_fini(&good_far);
    stage_drop(&stage, good, &good_peer);
    stage_end(&stage);
    free(got.data);
    got.data = NULL;
}

/* ---- compressors on loan ---- */

static struct wsi_compressor *take(struct wsi_compressors *pool, unsigned window_bits,
                                   unsigned level)
{
    const struct wsi_deflate_settings settings = {
        .window_bits = (uint8_t)window_bits, .memory_level = 8, .level = (uint8_t)level};
    struct wsi_compressor *compressor = wsi_compressor_take(pool, &settings);

    assert_non_null(compressor);
    assert_int_equal(compressor->settings.window_bits, window_bits);
    assert_int_equal(compressor->settings.level, level);
    return compressor;
}

static void compressor_is_lent_again_for_the_same_settings(void **state)
{
    struct wsi_compressor *a, *b, *c;
    struct wsi_compressors pool;

    (void)state;
    wsi_compressors_init(&pool);
    a = take(&pool, 15, 6);
    b = take(&pool, 15, 6); /* while a is away */
    c = take(&pool, 9, 6);
    assert_ptr_not_equal(a, b);
    wsi_compressor_give(&pool, a);
    wsi_compressor_give(&pool, c);
    assert_int_equal(pool.idle_count, 2);
    assert_ptr_equal(take(&pool, 15, 6), a);
    assert_ptr_equal(take(&pool, 9, 6), c);
    wsi_compressor_give(&pool, take(&pool, 9, 1));
    wsi_compressor_give(&pool, take(&pool, 9, 2));
    assert_int_equal(pool.idle_count, 2);
    wsi_compressor_give(&pool, a);
    wsi_compressor_give(&pool, b);
    wsi_compressor_give(&pool, c);
    assert_int_equal(pool.idle_count, 5);
    wsi_compressors_fini(&pool);
}

static void most_recent_kinds_of_compressors_are_kept(void **state)
{
    struct wsi_compressors pool;
    size_t live;
    int kept = 0;

    (void)state;
    wsi_compressors_init(&pool);
    for (unsigned i = 0; i < 16; i++)
        wsi_compressor_give(&pool, take(&pool, 8 + i % 8, 1 + i / 8));
    assert_int_equal(pool.idle_count, 16);
    live = test_live_blocks();
    for (unsigned i = 16; i < 40; i++)
        wsi_compressor_give(&pool, take(&pool, 8 + i % 8, 1 + i / 8));
    assert_int_equal(pool.idle_count, 16);
    assert_int_equal(test_live_blocks(), live);
    for (const struct wsi_compressor *at = pool.idle; at != NULL; at = at->next, kept++)
        assert_int_equal(at->settings.level, kept < 8 ? 5 : 4); /* the latest first */
    assert_int_equal(kept, 16);
    wsi_compressors_fini(&pool);
}

static void compressor_keeps_no_large_buffer(void **state)
{
    struct wsi_compressors pool;
    struct wsi_compressor *compressor;
    uint8_t *noise = malloc(2 * LONGEST);

    (void)state;
    write_noise(noise, 2 * LONGEST, 3);
    wsi_compressors_init(&pool);
    compressor = take(&pool, 15, 6);
    assert_false(wsi_compressor_run(compressor, noise, 2 * LONGEST));
    assert_true(compressor->out.capacity >= 2 * LONGEST);
    wsi_compressor_give(&pool, compressor);
    assert_true(pool.idle->out.capacity <= 256 * 1024);
    wsi_compressors_fini(&pool);
    free(noise);
}

static void worker_keeps_no_large_buffer(void **state)
{
    uint8_t *noise = malloc(2 * LONGEST);

    (void)state;
    write_noise(noise, 2 * LONGEST, 3);
    for (int by_mail = 0; by_mail < 2; by_mail++) {
        open_mode(&modes[DEDICATED], WSI_SERVER);
        if (by_mail)
            wsi_worker_current = NULL;
        assert_int_equal(wsi_conn_send(conn, WSOCK_BINARY, noise, 2 * LONGEST), 0);
        wsi_worker_current = stage.worker;
        stage_settle(&stage);
        far_got(&far, &peer, 0xc2, noise, 2 * LONGEST);
        assert_in_range(stage.worker->deflated.capacity, 0, 256 * 1024);
        assert_int_equal(stage.worker->deflated.len, 0);
        finish_mode();
    }
    free(noise);
}

static void compressor_without_memory_is_none(void **state)
{
    const struct wsi_deflate_settings settings = {
        .window_bits = 15, .memory_level = 8, .level = 6};
    struct wsi_compressors pool;
    int r = 0;

    (void)state;
    wsi_compressors_init(&pool);
    FOR_EACH_OOM(
        r,
        {
            struct wsi_compressor *compressor = wsi_compressor_take(&pool, &settings);

            r = compressor != NULL ? 0 : WSOCK_ENOMEM;
            if (r == 0)
                wsi_compressor_give(&pool, compressor);
        },
        {
            wsi_compressors_fini(&pool);
            wsi_compressors_init(&pool);
        });
    wsi_compressors_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_answers_offers_by_its_mode),
        TEST(offer_that_breaks_the_grammar_is_a_bad_request),
        TEST(client_offers_by_its_mode),
        TEST(client_fails_on_what_it_did_not_offer),
        TEST(client_that_offers_nothing_takes_no_extension),
        TEST(messages_of_all_sizes_reach_the_far_end),
        TEST(messages_of_all_sizes_come_in),
        TEST(context_makes_what_was_said_before_short),
        TEST(contexts_of_two_connections_do_not_mix),
        TEST(flag_and_small_size_leave_a_message_as_it_is),
        TEST(flag_is_ignored_without_compression),
        TEST(text_is_checked_before_it_is_compressed),
        TEST(option_that_changes_matters_to_new_connections_only),
        TEST(messages_by_mail_keep_their_order_and_the_context),
        TEST(message_inflates_to_the_limit_and_no_further),
        TEST(noise_of_the_limit_may_come_compressed),
        TEST(rubbish_is_invalid_data),
        TEST(text_inside_must_be_utf8),
        TEST(rsv1_belongs_to_the_first_frame_of_a_message),
        TEST(bad_peer_does_not_disturb_another_of_the_same_worker),
        TEST(compressor_is_lent_again_for_the_same_settings),
        TEST(most_recent_kinds_of_compressors_are_kept),
        TEST(compressor_keeps_no_large_buffer),
        TEST(worker_keeps_no_large_buffer),
        TEST(compressor_without_memory_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
