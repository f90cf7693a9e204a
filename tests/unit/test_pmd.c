/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuts.h"
#include "proto/pmd.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PMD          "permessage-deflate"
#define BOTH         "; server_no_context_takeover; client_no_context_takeover"

static const struct wsi_pmd_config off = {WSI_PMD_OFF, 15, 15, true, true};
static const struct wsi_pmd_config shared = {WSI_PMD_SHARED, 15, 15, true, true};
static const struct wsi_pmd_config shared_small = {WSI_PMD_SHARED, 10, 12, true, true};
static const struct wsi_pmd_config full = {WSI_PMD_DEDICATED, 15, 15, true, true};
static const struct wsi_pmd_config small = {WSI_PMD_DEDICATED, 11, 12, true, true};
static const struct wsi_pmd_config tiny = {WSI_PMD_DEDICATED, 8, 8, true, true};
static const struct wsi_pmd_config one_way = {WSI_PMD_DEDICATED, 15, 15, true, false};
static const struct wsi_pmd_config other_way = {WSI_PMD_DEDICATED, 15, 15, false, true};

/* A head with the text as its extensions; '\n' begins another field. */
static struct wsi_http_head head_of(const char *text)
{
    struct wsi_http_head head = {
        .fields = {{WSI_STR("Host"), WSI_STR("permessage-deflate")},
                   {WSI_STR("Sec-WebSocket-Extension"), WSI_STR("permessage-deflate")}},
        .count = 2,
    };

    while (text != NULL) {
        const char *end = strchr(text, '\n');

        head.fields[head.count++] = (struct wsi_http_field){
            WSI_STR("sec-webSocket-extensions"),
            {text, end != NULL ? (size_t)(end - text) : strlen(text)},
        };
        text = end != NULL ? end + 1 : NULL;
    }
    return head;
}

/* "own bits, peer bits, who keeps a context", or what refused. */
static void describe(char out[128], int r, const struct wsi_pmd_params *params,
                     const char *why)
{
    if (r < 0)
        snprintf(out, 128, "%s", why);
    else if (r == 0)
        snprintf(out, 128, "none");
    else
        snprintf(out, 128, "%u %u%s%s", params->own_window_bits, params->peer_window_bits,
                 params->own_takeover ? " own" : "",
                 params->peer_takeover ? " peer" : "");
}

/* ---- server ---- */

struct offer_case {
    const struct wsi_pmd_config *config;
    const char *offers;
    const char *agreed; /* as describe() */
    const char *answer; /* behind the name; NULL: none */
};

#define MALFORMED "Sec-WebSocket-Extensions is malformed"

static const struct offer_case offers[] = {
    {&off, PMD, "none", NULL},
    {&off, ";;", "none", NULL},
    {&full, NULL, "none", NULL},
    {&full, "", "none", NULL},
    {&full, " , ,", "none", NULL},
    {&full, PMD, "15 15 own peer", ""},
    {&shared, PMD, "15 15", BOTH},
    {&one_way, PMD, "15 15 own", "; client_no_context_takeover"},
    {&other_way, PMD, "15 15 peer", "; server_no_context_takeover"},
    {&shared_small, PMD, "10 15", BOTH "; server_max_window_bits=10"},
    {&shared_small, PMD "; client_max_window_bits", "10 12",
     BOTH "; server_max_window_bits=10; client_max_window_bits=12"},

    /* what browsers send */
    {&full, PMD "; client_max_window_bits", "15 15 own peer", ""},
    {&full, "x-webkit-deflate-frame", "none", NULL},

    /* each parameter */
    {&full, PMD "; server_no_context_takeover", "15 15 peer",
     "; server_no_context_takeover"},
    {&full, PMD "; client_no_context_takeover", "15 15 own",
     "; client_no_context_takeover"},
    {&full, PMD "; server_max_window_bits=15", "15 15 own peer",
     "; server_max_window_bits=15"},
    {&full, PMD "; server_max_window_bits=8", "8 15 own peer",
     "; server_max_window_bits=8"},
    {&full, PMD "; server_max_window_bits=10", "10 15 own peer",
     "; server_max_window_bits=10"},
    {&small, PMD "; server_max_window_bits=10; client_max_window_bits", "10 12 own peer",
     "; server_max_window_bits=10; client_max_window_bits=12"},
    {&small, PMD "; server_max_window_bits=14; client_max_window_bits=9", "11 9 own peer",
     "; server_max_window_bits=11; client_max_window_bits=9"},
    {&full, PMD "; client_max_window_bits=8", "15 8 own peer",
     "; client_max_window_bits=8"},
    {&full, PMD "; client_max_window_bits=15", "15 15 own peer", ""},
    {&tiny, PMD "; client_max_window_bits", "8 8 own peer",
     "; server_max_window_bits=8; client_max_window_bits=8"},
    {&full, PMD BOTH "; client_max_window_bits=9; server_max_window_bits=9", "9 9",
     BOTH "; server_max_window_bits=9; client_max_window_bits=9"},
    /* a client that cannot be limited is not to keep its context */
    {&small, PMD, "11 15 own", "; client_no_context_takeover; server_max_window_bits=11"},

    /* offers that are declined, and the next one */
    {&full, PMD "; server_max_window_bits", "none", NULL},
    {&full, PMD "; server_max_window_bits=7", "none", NULL},
    {&full, PMD "; server_max_window_bits=16", "none", NULL},
    {&full, PMD "; server_max_window_bits=0", "none", NULL},
    {&full, PMD "; server_max_window_bits=08", "none", NULL},
    {&full, PMD "; server_max_window_bits=010", "none", NULL},
    {&full, PMD "; server_max_window_bits=1", "none", NULL},
    {&full, PMD "; server_max_window_bits=100", "none", NULL},
    {&full, PMD "; server_max_window_bits=1x", "none", NULL},
    {&full, PMD "; server_max_window_bits=20", "none", NULL},
    {&full, PMD "; server_max_window_bits=05", "none", NULL},
    {&full, PMD "; server_max_window_bits=-9", "none", NULL},
    {&full, PMD "; server_max_window_bits=+9", "none", NULL},
    {&full, PMD "; server_max_window_bits=0x9", "none", NULL},
    {&full, PMD "; server_max_window_bits=4294967304", "none", NULL},
    {&full, PMD "; server_max_window_bits=18446744073709551625", "none", NULL},
    {&full, PMD "; client_max_window_bits=7", "none", NULL},
    {&full, PMD "; client_max_window_bits=16", "none", NULL},
    {&full, PMD "; client_max_window_bits=99999999999999999999", "none", NULL},
    {&full, PMD "; server_no_context_takeover=1", "none", NULL},
    {&full, PMD "; client_no_context_takeover=true", "none", NULL},
    {&full, PMD "; server_no_context_takeover; server_no_context_takeover", "none", NULL},
    {&full, PMD "; client_no_context_takeover; client_no_context_takeover", "none", NULL},
    {&full, PMD "; server_max_window_bits=9; server_max_window_bits=9", "none", NULL},
    {&full, PMD "; client_max_window_bits; client_max_window_bits=9", "none", NULL},
    {&full, PMD "; mystery", "none", NULL},
    {&full, PMD "; mystery=8", "none", NULL},
    {&full, PMD "; Server_No_Context_Takeover", "none", NULL},
    {&full, "Permessage-Deflate", "none", NULL},
    {&full, "permessage-deflate2", "none", NULL},
    {&full, "permessage-deflat", "none", NULL},
    {&full, PMD "; mystery, " PMD, "15 15 own peer", ""},
    {&full, PMD "; server_max_window_bits=7, " PMD "; server_max_window_bits=9," PMD,
     "9 15 own peer", "; server_max_window_bits=9"},
    {&full, PMD "; client_no_context_takeover, " PMD "; mystery, " PMD, "15 15 own",
     "; client_no_context_takeover"},
    {&full, "x-mux; a=b; c, foo, " PMD, "15 15 own peer", ""},
    {&full, "x-mux\nfoo; bar=\"baz\"\n" PMD "; server_max_window_bits=9\n" PMD,
     "9 15 own peer", "; server_max_window_bits=9"},

    /* blanks, quotes and escapes, empty elements */
    {&full, "\t" PMD " ;\tserver_max_window_bits = 9 ; client_max_window_bits ,",
     "9 15 own peer", "; server_max_window_bits=9"},
    {&full, ",, " PMD ",,", "15 15 own peer", ""},
    {&full, PMD "; server_max_window_bits=\"10\"", "10 15 own peer",
     "; server_max_window_bits=10"},
    {&full, PMD "; server_max_window_bits=\"\\1\\0\" ; client_no_context_takeover",
     "10 15 own", "; client_no_context_takeover; server_max_window_bits=10"},
    {&full, PMD "; server_max_window_bits=\"010\"", "none", NULL},
    {&full, PMD "; mystery=\"a\\bc\", " PMD, "15 15 own peer", ""},

    /* grammar, also of what does not concern us and behind an agreement */
    {&full, ";", MALFORMED, NULL},
    {&full, "=", MALFORMED, NULL},
    {&full, PMD ";", MALFORMED, NULL},
    {&full, PMD ";;", MALFORMED, NULL},
    {&full, PMD "; ;", MALFORMED, NULL},
    {&full, PMD ";,", MALFORMED, NULL},
    {&full, PMD "=1", MALFORMED, NULL},
    {&full, PMD " x", MALFORMED, NULL},
    {&full, PMD "; a b", MALFORMED, NULL},
    {&full, PMD "; a=", MALFORMED, NULL},
    {&full, PMD "; a=,", MALFORMED, NULL},
    {&full, PMD "; a==", MALFORMED, NULL},
    {&full, PMD "; a=b=c", MALFORMED, NULL},
    {&full, PMD "; =b", MALFORMED, NULL},
    {&full, PMD "; a=\"", MALFORMED, NULL},
    {&full, PMD "; a=\"\"", MALFORMED, NULL},
    {&full, PMD "; a=\"b", MALFORMED, NULL},
    {&full, PMD "; a=\"b\\", MALFORMED, NULL},
    {&full, PMD "; a=\"b\\\"", MALFORMED, NULL},
    {&full, PMD "; a=\"b\\\"\"", MALFORMED, NULL},
    {&full, PMD "; a=\"b c\"", MALFORMED, NULL},
    {&full, PMD "; a=\"b,c\"", MALFORMED, NULL},
    {&full, PMD "; a=\"b\"c", MALFORMED, NULL},
    {&full, PMD "; \"a\"=b", MALFORMED, NULL},
    {&full, "\"" PMD "\"", MALFORMED, NULL},
    {&full, PMD "; a=\xc3\xa9", MALFORMED, NULL},
    {&full, PMD ", foo bar", MALFORMED, NULL},
    {&full, PMD "\n;", MALFORMED, NULL},
    {&full, "foo/bar, " PMD, MALFORMED, NULL},
};

static void check_answer_text(const struct wsi_pmd_params *params, const char *expected)
{
    char out[WSI_PMD_TEXT_MAX + 1], wanted[WSI_PMD_TEXT_MAX + 1];
    const size_t len = wsi_pmd_write_answer(out, params);

    out[len] = '\0';
    snprintf(wanted, sizeof wanted, PMD "%s", expected);
    assert_string_equal(out, wanted);
}

static void server_agrees_on_the_first_offer_that_it_can_meet(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(offers); i++) {
        const struct offer_case *c = &offers[i];
        const struct wsi_http_head head = head_of(c->offers);
        struct wsi_pmd_params params = {0};
        const char *why = NULL;
        char seen[128];
        const int r = wsi_pmd_accept(&head, c->config, &params, &why);

        describe(seen, r, &params, why);
        if (strcmp(seen, c->agreed) != 0)
            fail_msg("%s: %s instead of %s", c->offers, seen, c->agreed);
        assert_int_equal(why != NULL, r < 0);
        assert_int_equal(c->answer != NULL, r > 0);
        if (r > 0)
            check_answer_text(&params, c->answer);
        else
            assert_int_equal(params.own_window_bits, 0);
    }
}

/* ---- client ---- */

static const struct {
    const struct wsi_pmd_config *config;
    const char *offer;
} written[] = {
    {&off, ""},
    {&full, PMD "; client_max_window_bits"},
    {&shared, PMD BOTH "; client_max_window_bits"},
    {&one_way, PMD "; server_no_context_takeover; client_max_window_bits"},
    {&other_way, PMD "; client_no_context_takeover; client_max_window_bits"},
    {&small, PMD "; server_max_window_bits=12; client_max_window_bits=11"},
    {&tiny, PMD "; server_max_window_bits=8; client_max_window_bits=8"},
    {&shared_small, PMD BOTH "; server_max_window_bits=12; client_max_window_bits=10"},
};

static void client_offers_what_it_is_willing_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(written); i++) {
        char out[WSI_PMD_TEXT_MAX + 1];

        out[wsi_pmd_write_offer(out, written[i].config)] = '\0';
        assert_string_equal(out, written[i].offer);
    }
}

#define NOT_OFFERED "the server chose an extension that was not offered"
#define TWICE       "the server chose permessage-deflate twice"
#define UNKNOWN     "permessage-deflate has an unknown parameter"
#define REPEATED    "permessage-deflate has a parameter twice"
#define BAD_BITS    "permessage-deflate has window bits that are not 8 to 15"
#define NO_VALUE    "permessage-deflate has a value where none belongs"
#define NO_RESET    "the server did not accept server_no_context_takeover"
#define NO_LIMIT    "the server did not accept server_max_window_bits"

static const struct {
    const struct wsi_pmd_config *config;
    const char *answer;
    const char *agreed;
} answers[] = {
    {&off, NULL, "none"},
    {&off, "", "none"},
    {&off, PMD, NOT_OFFERED},
    {&full, NULL, "none"},
    {&full, PMD, "15 15 own peer"},
    {&full, PMD "; server_no_context_takeover", "15 15 own"},
    {&full, PMD "; client_no_context_takeover", "15 15 peer"},
    {&full, PMD "; server_max_window_bits=8", "15 8 own peer"},
    {&full, PMD "; client_max_window_bits=8", "8 15 own peer"},
    {&full, PMD "; server_max_window_bits=\"9\"; client_max_window_bits=\"1\\0\"",
     "10 9 own peer"},
    {&full, PMD BOTH "; client_max_window_bits=15; server_max_window_bits=15", "15 15"},
    {&one_way, PMD "; server_no_context_takeover", "15 15 own"},
    {&other_way, PMD, "15 15 peer"},
    {&shared, PMD "; server_no_context_takeover", "15 15"},
    {&small, PMD "; server_max_window_bits=12", "11 12 own peer"},
    {&small, PMD "; server_max_window_bits=9; client_max_window_bits=11",
     "11 9 own peer"},
    {&small, PMD "; server_max_window_bits=9; client_max_window_bits=8", "8 9 own peer"},
    {&small, PMD "; server_max_window_bits=12; client_max_window_bits=15",
     "11 12 own peer"},
    {&shared_small, PMD BOTH "; server_max_window_bits=12", "10 12"},
    /* a server that cannot be limited, and keeps no context */
    {&shared_small, PMD BOTH, "10 15"},
    {&small, PMD BOTH, "11 15"},
    {&small, PMD "; server_no_context_takeover", "11 15 own"},

    {&full, "foo", NOT_OFFERED},
    {&full, "Permessage-deflate", NOT_OFFERED},
    {&full, PMD ", foo", NOT_OFFERED},
    {&full, "foo\n" PMD, NOT_OFFERED},
    {&full, PMD ", " PMD, TWICE},
    {&full, PMD "\n" PMD, TWICE},
    {&full, PMD "; mystery", UNKNOWN},
    {&full, PMD "; server_no_context_takeover; server_no_context_takeover", REPEATED},
    {&full, PMD "; client_max_window_bits=9; client_max_window_bits=9", REPEATED},
    {&full, PMD "; client_max_window_bits", BAD_BITS},
    {&full, PMD "; server_max_window_bits", BAD_BITS},
    {&full, PMD "; server_max_window_bits=0", BAD_BITS},
    {&full, PMD "; server_max_window_bits=7", BAD_BITS},
    {&full, PMD "; server_max_window_bits=16", BAD_BITS},
    {&full, PMD "; client_max_window_bits=7", BAD_BITS},
    {&full, PMD "; client_max_window_bits=16", BAD_BITS},
    {&full, PMD "; client_max_window_bits=012", BAD_BITS},
    {&full, PMD "; server_no_context_takeover=0", NO_VALUE},
    {&full, PMD "; client_no_context_takeover=\"a\"", NO_VALUE},
    {&full, PMD ";", MALFORMED},
    {&full, PMD "; a=\"", MALFORMED},
    {&one_way, PMD, NO_RESET},
    {&shared, PMD, NO_RESET},
    {&shared, PMD "; client_no_context_takeover", NO_RESET},
    {&small, PMD, NO_LIMIT},
    {&small, PMD "; server_max_window_bits=13", NO_LIMIT},
    {&small, PMD BOTH "; server_max_window_bits=13", NO_LIMIT},
    {&small, PMD "; client_no_context_takeover", NO_LIMIT},
};

static void client_fails_on_what_it_did_not_offer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        const struct wsi_http_head head = head_of(answers[i].answer);
        struct wsi_pmd_params params = {0};
        const char *why = NULL;
        char seen[128];
        const int r = wsi_pmd_check_answer(&head, answers[i].config, &params, &why);

        describe(seen, r, &params, why);
        if (strcmp(seen, answers[i].agreed) != 0)
            fail_msg("%s: %s instead of %s", answers[i].answer, seen, answers[i].agreed);
        assert_int_equal(why != NULL, r < 0);
        if (r <= 0)
            assert_int_equal(params.own_window_bits, 0);
    }
}

/* ---- both ---- */

static struct wsi_pmd_config config_number(unsigned n)
{
    return (struct wsi_pmd_config){
        .mode = n % 2 == 0 ? WSI_PMD_SHARED : WSI_PMD_DEDICATED,
        .own_window_bits = (uint8_t)(8 + n / 2 % 8),
        .peer_window_bits = (uint8_t)(8 + n / 16 % 8),
        .own_takeover = n / 128 % 2,
        .peer_takeover = n / 256 % 2,
    };
}

static const char *as_field(char text[WSI_PMD_TEXT_MAX + 1], size_t len)
{
    assert_true(len <= WSI_PMD_TEXT_MAX);
    text[len] = '\0';
    return text;
}

static void our_client_and_our_server_always_agree(void **state)
{
    enum { CONFIGS = 512, STEP = 7 };
    char text[WSI_PMD_TEXT_MAX + 1];

    (void)state;
    for (unsigned i = 0; i < CONFIGS; i++)
        for (unsigned j = i % STEP; j < CONFIGS; j += STEP) {
            const struct wsi_pmd_config ours = config_number(i),
                                        theirs = config_number(j);
            struct wsi_pmd_params client, server;
            struct wsi_http_head head;
            const char *why = NULL;

            head = head_of(as_field(text, wsi_pmd_write_offer(text, &ours)));
            assert_int_equal(wsi_pmd_accept(&head, &theirs, &server, &why), 1);
            head = head_of(as_field(text, wsi_pmd_write_answer(text, &server)));
            assert_int_equal(wsi_pmd_check_answer(&head, &ours, &client, &why), 1);
            assert_int_equal(client.own_window_bits, server.peer_window_bits);
            assert_int_equal(client.peer_window_bits, server.own_window_bits);
            assert_int_equal(client.own_takeover, server.peer_takeover);
            assert_int_equal(client.peer_takeover, server.own_takeover);
            assert_true(client.own_window_bits <= ours.own_window_bits);
            assert_true(client.peer_window_bits <= ours.peer_window_bits);
            assert_true(server.own_window_bits <= theirs.own_window_bits);
            assert_true(server.peer_window_bits <= theirs.peer_window_bits);
        }
}

static void rubbish_is_read_to_its_end_and_no_further(void **state)
{
    static const char *const pieces[] = {
        PMD,
        ";",
        ",",
        "=",
        "\"",
        "\\",
        " ",
        "\t",
        "8",
        "15",
        "server_max_window_bits",
        "client_max_window_bits",
        "server_no_context_takeover",
        "x",
        "\xff",
        "; ",
        "=10",
    };
    uint32_t seed = 7;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char text[512], *exact;
        size_t len = 0;
        struct wsi_pmd_params params = {0};
        const char *why = NULL;
        struct wsi_http_head head;
        int r;

        for (unsigned n = test_random(&seed) % 16; n > 0; n--) {
            const char *piece = pieces[test_random(&seed) % COUNT(pieces)];

            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        exact = malloc(len != 0 ? len : 1); /* of its exact size, for sanitizers */
        assert_non_null(exact);
        memcpy(exact, text, len);
        head = (struct wsi_http_head){
            .fields = {{WSI_STR("Sec-WebSocket-Extensions"), {exact, len}}},
            .count = 1,
        };
        r = wsi_pmd_accept(&head, &full, &params, &why);
        assert_int_equal(r > 0, params.own_window_bits != 0);
        assert_int_equal(r < 0, why != NULL);
        params = (struct wsi_pmd_params){0};
        why = NULL;
        r = wsi_pmd_check_answer(&head, &full, &params, &why);
        assert_int_equal(r > 0, params.own_window_bits != 0);
        assert_int_equal(r < 0, why != NULL);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_agrees_on_the_first_offer_that_it_can_meet),
        TEST(client_offers_what_it_is_willing_to_do),
        TEST(client_fails_on_what_it_did_not_offer),
        TEST(our_client_and_our_server_always_agree),
        TEST(rubbish_is_read_to_its_end_and_no_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
