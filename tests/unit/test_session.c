/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "cuts.h"
#include "proto/mask.h"
#include "proto/session.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct wsi_session_limits ordinary = {
    .max_message_bytes = 1 << 20,
    .max_fragments = 1024,
};
static const struct wsi_session_limits unlimited = {
    .max_message_bytes = UINT64_MAX,
    .max_fragments = UINT64_MAX,
};
static const struct wsi_session_limits tight = {
    .max_message_bytes = 8,
    .max_fragments = 2,
};
static const uint8_t some_key[4] = {0x37, 0xfa, 0x21, 0x3d};

/* All that an incomplete frame may hold besides the bytes of its message. */
enum { STATE_MAX = 256 };

struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

static void put(struct bytes *bytes, const void *data, size_t len)
{
    if (bytes->len + len >= bytes->capacity) {
        bytes->capacity = 2 * (bytes->len + len) + 1;
        bytes->data = realloc(bytes->data, bytes->capacity);
        assert_non_null(bytes->data);
    }
    if (len != 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

/* ---- decoding into transcripts ---- */

enum delivery { WHOLE, IN_PARTS, BY_TURNS, DELIVERIES };

struct end {
    enum wsi_role role;
    const struct wsi_session_limits *limits;
    bool compression; /* was agreed */
    enum delivery delivery;
};

static void add_event(struct test_transcript *out, const struct wsi_event *event)
{
    char *hex = test_hex(event->data, event->len);

    switch (event->kind) {
    case WSI_EVENT_MESSAGE:
        test_transcript_add(out, "%s%s %s", event->compressed ? "compressed " : "",
                            event->opcode == WSI_OP_TEXT ? "text" : "binary", hex);
        break;
    case WSI_EVENT_PART: /* "<" begins a message, ">" ends it */
        test_transcript_add(out, "%s%s %s%s%s", event->compressed ? "compressed " : "",
                            event->opcode == WSI_OP_TEXT ? "text" : "binary",
                            event->first ? "<" : "", hex, event->last ? ">" : "");
        break;
    case WSI_EVENT_PING:
        test_transcript_add(out, "ping %s", hex);
        break;
    case WSI_EVENT_PONG:
        test_transcript_add(out, "pong %s", hex);
        break;
    case WSI_EVENT_CLOSE:
        test_transcript_add(out, "close %u %s", event->code, hex);
        break;
    case WSI_EVENT_ERROR:
        test_transcript_add(out, "error %u: %s", event->code, event->why);
        break;
    default:
        fail_msg("an event of kind %d", (int)event->kind);
    }
    free(hex);
}

/* The parts of the message under way, put together again. */
struct parts {
    struct bytes bytes;
    uint8_t opcode; /* 0: none is under way */
    bool compressed;
};

/* A message that came in parts stands in the transcript as if it had come whole. */
static void add_part(struct test_transcript *out, struct parts *parts,
                     const struct wsi_event *event)
{
    struct wsi_event message = *event;

    assert_int_equal(event->first, parts->opcode == 0);
    assert_true(event->opcode == WSI_OP_TEXT || event->opcode == WSI_OP_BINARY);
    assert_true(event->len > 0 || event->last);
    if (event->first) {
        parts->bytes.len = 0;
        parts->opcode = event->opcode;
        parts->compressed = event->compressed;
    }
    assert_int_equal(event->opcode, parts->opcode);
    assert_int_equal(event->compressed, parts->compressed);
    put(&parts->bytes, event->data, event->len);
    if (!event->last)
        return;
    message.kind = WSI_EVENT_MESSAGE;
    message.data = parts->bytes.data;
    message.len = parts->bytes.len;
    add_event(out, &message);
    parts->opcode = 0;
}

static void add_as_delivered(struct test_transcript *out, struct parts *parts,
                             enum delivery delivery, const struct wsi_event *event,
                             const struct test_piece *input)
{
    if (event->kind == WSI_EVENT_PART) {
        assert_int_not_equal(delivery, WHOLE);
        assert_true(event->data >= input->data);
        assert_true(event->data + event->len <= input->data + input->len);
        add_part(out, parts, event);
        return;
    }
    if (event->kind == WSI_EVENT_MESSAGE) {
        assert_int_not_equal(delivery, IN_PARTS);
        assert_int_equal(parts->opcode, 0);
    }
    add_event(out, event);
}

static void check_invariants(const struct wsi_session *session, enum delivery delivery,
                             size_t left)
{
    assert_int_equal(left, 0);
    assert_int_equal(wsi_session_is_idle(session), wsi_session_held_bytes(session) == 0);
    if (session->failed || session->close_received)
        assert_true(wsi_session_is_idle(session));
    if (delivery == IN_PARTS)
        assert_true(wsi_session_held_bytes(session) <= STATE_MAX);
}

/* A test_decode_fn; "more" says that a frame or message was left unfinished. */
static void decode(struct test_piece *pieces, size_t count, struct test_transcript *out,
                   void *user)
{
    const struct end *end = user;
    struct wsi_session session;
    struct parts parts = {0};
    uint32_t seed = 1 + (uint32_t)pieces[0].len;
    bool ended = false;

    wsi_session_init(&session, end->role);
    if (end->compression)
        wsi_session_allow_compressed(&session);
    if (end->delivery == IN_PARTS)
        wsi_session_deliver_parts(&session, true);
    for (size_t i = 0; i < count; i++) {
        uint8_t *data = pieces[i].data;
        size_t left = pieces[i].len;

        for (;;) {
            struct wsi_event event;

            if (end->delivery == BY_TURNS)
                wsi_session_deliver_parts(&session, test_random(&seed) % 2 != 0);
            wsi_session_next(&session, end->limits, &data, &left, &event);
            assert_ptr_equal(data + left, pieces[i].data + pieces[i].len);
            if (event.kind == WSI_EVENT_NONE)
                break;
            assert_false(ended);
            add_as_delivered(out, &parts, end->delivery, &event, &pieces[i]);
            ended = event.kind == WSI_EVENT_CLOSE || event.kind == WSI_EVENT_ERROR;
            assert_int_equal(session.failed, event.kind == WSI_EVENT_ERROR);
            assert_int_equal(session.close_received, event.kind == WSI_EVENT_CLOSE);
        }
        check_invariants(&session, end->delivery, left);
    }
    if (!wsi_session_is_idle(&session))
        test_transcript_add(out, "more");
    wsi_session_fini(&session);
    free(parts.bytes.data);
}

/* ---- frames written down ---- */

static void end_payload(struct bytes *bytes, size_t from, const uint8_t *key)
{
    if (from != SIZE_MAX && key != NULL)
        wsi_mask(bytes->data + from, bytes->data + from, bytes->len - from, key, 0);
}

/*
 * Frames as they are written in the tables, for the given receiver. Hex digits are bytes.
 * What follows are marks, which make one line good for both roles:
 *   *    the next byte has the mask bit too when a server receives it
 *   [ ]  payload: behind a key and masked when a server receives it; need not end
 *   ( )  ASCII characters
 *   #n   n letters 'a'
 */
static struct bytes frames(enum wsi_role receiver, const char *notation)
{
    const uint8_t mask_bit = receiver == WSI_SERVER ? 0x80 : 0;
    struct bytes out = {0};
    size_t payload = SIZE_MAX;
    uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t extra = 0;

    put(&out, NULL, 0);
    for (const char *c = notation; *c != '\0'; c++) {
        if (*c == ' ') {
            continue;
        } else if (*c == '*') {
            extra = mask_bit;
        } else if (*c == '[') {
            key[0]++;
            if (mask_bit != 0)
                put(&out, key, 4);
            payload = out.len;
        } else if (*c == ']') {
            end_payload(&out, payload, mask_bit != 0 ? key : NULL);
            payload = SIZE_MAX;
        } else if (*c == '(') {
            for (c++; *c != ')'; c++)
                put(&out, c, 1);
        } else if (*c == '#') {
            char *end = NULL;

            for (unsigned long n = strtoul(c + 1, &end, 10); n > 0; n--)
                put(&out, "a", 1);
            c = end - 1;
        } else {
            const char digits[3] = {c[0], c[1], '\0'};
            const uint8_t byte = (uint8_t)(strtoul(digits, NULL, 16) | extra);

            put(&out, &byte, 1);
            extra = 0;
            c++;
        }
    }
    end_payload(&out, payload, mask_bit != 0 ? key : NULL);
    return out;
}

struct frames_case {
    const char *frames;
    const char *events;
    const struct wsi_session_limits *limits; /* NULL: ordinary */
    bool compression;                        /* was agreed */
};

static void check_cuts(enum wsi_role role, const struct frames_case *c)
{
    struct end end = {role, c->limits != NULL ? c->limits : &ordinary, c->compression};
    struct bytes in = frames(role, c->frames);

    for (int i = WHOLE; i < DELIVERIES; i++) {
        end.delivery = (enum delivery)i;
        test_all_cuts(in.data, in.len, c->events, decode, &end);
    }
    free(in.data);
}

/* The same events, whatever comes behind. */
static void check_cuts_behind(enum wsi_role role, const struct frames_case *c,
                              const char *behind)
{
    /* Enough to fill the frames that are refused for an overlong length. */
    char run[160];
    struct end end = {role, c->limits != NULL ? c->limits : &ordinary, c->compression};
    struct bytes in = frames(role, c->frames);
    struct bytes more = frames(role, behind);

    memset(run, 'a', sizeof run);
    put(&in, more.data, more.len);
    put(&in, run, sizeof run);
    for (int i = WHOLE; i < DELIVERIES; i++) {
        end.delivery = (enum delivery)i;
        test_cuts_before_run(in.data, in.len, sizeof run, c->events, decode, &end);
    }
    free(in.data);
    free(more.data);
}

/* ---- what is valid ---- */

static const struct frames_case valid[] = {
    {"81*05[(Hello)]", "text 48656c6c6f"},
    {"81*00[]", "text "},
    {"82*00[]", "binary "},
    {"82*03[ff00fe]", "binary ff00fe"},
    {"81*02[(hi)] 82*01[07] 81*01[(x)]", "text 6869 | binary 07 | text 78"},
    /* lengths */
    {"82*7d[#125]", "binary 125 bytes 484400f5"},
    {"82*7e007e[#126]", "binary 126 bytes f0fbbaef"},
    {"81*7e0100[#256]", "text 256 bytes cfc1a40f"},
    {"81*7effff[#65535]", "text 65535 bytes c4d707ad"},
    {"82*7f0000000000010000[#65536]", "binary 65536 bytes 37d58c04"},
    /* fragments */
    {"01*03[(Hel)] 80*02[(lo)]", "text 48656c6c6f"},
    {"02*01[01] 00*01[02] 00*00[] 80*01[03]", "binary 010203"},
    {"01*00[] 80*05[(Hello)]", "text 48656c6c6f"},
    {"01*05[(Hello)] 80*00[]", "text 48656c6c6f"},
    {"02*00[] 00*00[] 80*00[]", "binary "},
    {"01*01[(a)] 80*01[(b)] 01*01[(c)] 80*01[(d)]", "text 6162 | text 6364"},
    {"01*01[(a)] 80*01[(b)] 81*01[(c)]", "text 6162 | text 63"},
    /* control frames, alone and between fragments */
    {"89*00[]", "ping "},
    {"89*03[(abc)] 8a*02[(de)]", "ping 616263 | pong 6465"},
    {"89*7d[#125]", "ping 125 bytes 484400f5"},
    {"01*03[(Hel)] 89*02[(hi)] 8a*00[] 80*02[(lo)]",
     "ping 6869 | pong  | text 48656c6c6f"},
    {"02*00[] 89*01[01] 80*02[0203]", "ping 01 | binary 0203"},
    {"89*01[(a)] 81*01[(b)] 8a*01[(c)]", "ping 61 | text 62 | pong 63"},
    /* UTF-8, cut by fragments in the middle of sequences too */
    {"81*0b[ceba e1bdb9 cf83 cebc ceb5 ]", "text cebae1bdb9cf83cebcceb5"},
    {"01*01[f0] 00*01[9f] 89*01[ff] 00*01[98] 80*01[80]", "ping ff | text f09f9880"},
    {"81*04[f48fbfbf] 81*03[ed9fbf] 81*03[ee8080]",
     "text f48fbfbf | text ed9fbf | text ee8080"},
    {"02*01[f0] 80*01[20]", "binary f020"},
    /* close */
    {"88*00[]", "close 1005 "},
    {"88*02[03e8]", "close 1000 "},
    {"88*05[03e9 (bye)]", "close 1001 627965"},
    {"88*04[1387 c3a9]", "close 4999 c3a9"},
    {"88*7d[0bb8 #123]", "close 3000 123 bytes 4c1aa64a"},
    {"01*01[(a)] 88*02[03f6]", "close 1014 "},
    {"88*02[03e8] 81*01[(x)] 89*00[] ffff", "close 1000 "},
    /* limits just met */
    {"82*08[#8] 02*04[#4] 80*04[#4]", "binary 6161616161616161 | binary 6161616161616161",
     &tight},
    {"89*0a[#10]", "ping 61616161616161616161", &tight},
    /* compressed: not looked into, and no matter what text it is in the end */
    {"c1*07[f248cdc9c90700]", "compressed text f248cdc9c90700", NULL, true},
    {"c2*01[00] 81*01[(a)] c1*00[]", "compressed binary 00 | text 61 | compressed text ",
     NULL, true},
    {"c1*02[c3ff] 82*01[ff]", "compressed text c3ff | binary ff", NULL, true},
    {"41*02[f0ff] 89*01[(p)] 00*01[c3] 80*01[(x)] 81*01[(y)]",
     "ping 70 | compressed text f0ffc378 | text 79", NULL, true},
    {"42*00[] 80*02[0100] 02*01[05] 80*01[06] 88*00[]",
     "compressed binary 0100 | binary 0506 | close 1005 ", NULL, true},
    {"c1*7e0100[#256]", "compressed text 256 bytes cfc1a40f", NULL, true},
    {"41*01[c3] 80*00[] 81*02[c3a9]", "compressed text c3 | text c3a9", NULL, true},
    {"c2*49[#73] 42*08[#8] 80*41[#65]",
     "compressed binary 73 bytes 45f87c4e | compressed binary 73 bytes 45f87c4e", &tight,
     true},
    {"42*01[01] 80", "more", NULL, true},
    {"c2*7f7fffffffffffffff", "more", &unlimited, true},
    /* not whole */
    {"", ""},
    {"81", "more"},
    {"82*7f7fffffff", "more", &unlimited},
    {"82*7f7fffffffffffffff[#10", "more", &unlimited},
    {"02*0a[#10] 80*7f7fffffffffffffff[#10", "more", &unlimited},
    {"01*01[(a)]", "more"},
    {"01*01[(a)] 89*01[(b)]", "ping 62 | more"},
    {"89*02[(a)", "more"},
};

static void session_decodes_what_is_valid_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        check_cuts(WSI_SERVER, &valid[i]);
        check_cuts(WSI_CLIENT, &valid[i]);
    }
}

/* ---- what is not ---- */

#define RSV      "error 1002: a reserved bit is set without an extension that gives it meaning"
#define RSV1     "error 1002: RSV1 is set on a frame that does not begin a message"
#define OPCODE   "error 1002: the opcode is reserved"
#define CONTROL  "error 1002: a control frame is fragmented"
#define TOO_LONG "error 1002: a control frame is longer than 125 bytes"
#define SHORTEST "error 1002: a length is not in its shortest form"
#define TOP_BIT  "error 1002: the most significant bit of a 64-bit length is set"
#define NO_START "error 1002: a continuation frame continues no message"
#define INSIDE   "error 1002: a new message begins inside a fragmented one"
#define HALF     "error 1002: a close frame holds half a code"
#define CODE     "error 1002: a close frame holds an invalid code"
#define REASON   "error 1007: a close reason is not valid UTF-8"
#define BAD_TEXT "error 1007: a text message is not valid UTF-8"
#define CUT_TEXT "error 1007: a text message ends inside a UTF-8 sequence"
#define TOO_BIG  "error 1009: the message is larger than max_message_bytes"
#define TOO_MANY "error 1008: the message has too many fragments"

/* The last byte of each line is the one that decides: not a byte later, none before. */
static const struct frames_case invalid[] = {
    {"c1", RSV},
    {"a2", RSV},
    {"92", RSV},
    {"c9", RSV},
    {"f1", RSV},
    {"01*01[(a)] c0", RSV},
    {"a1", RSV, NULL, true},
    {"91", RSV, NULL, true},
    {"e1", RSV, NULL, true},
    {"f1", RSV, NULL, true},
    {"c8", RSV1, NULL, true},
    {"c9", RSV1, NULL, true},
    {"ca", RSV1, NULL, true},
    {"48", RSV1, NULL, true},
    {"c0", RSV1, NULL, true},
    {"41*01[00] c0", RSV1, NULL, true},
    {"41*01[00] 40", RSV1, NULL, true},
    {"01*01[(a)] c0", RSV1, NULL, true},
    {"41*01[00] c9", RSV1, NULL, true},
    {"41*01[00] 89*00[] c1", "ping  | " INSIDE, NULL, true},
    {"41*01[00] 81", INSIDE, NULL, true},
    {"c3", OPCODE, NULL, true},
    {"c7", OPCODE, NULL, true},
    {"c1*01[00] 81*01[ff", "compressed text 00 | " BAD_TEXT, NULL, true},
    {"41*01[c3] 80*00[] 01*01[c3] 80*00[]", "compressed text c3 | " CUT_TEXT, NULL, true},
    /* a compressed message may be longer, one that is not may not */
    {"c2*4a", TOO_BIG, &tight, true},
    {"42*40[#64] 80*0a", TOO_BIG, &tight, true},
    {"c2*49[#73] 82*09", "compressed binary 73 bytes 45f87c4e | " TOO_BIG, &tight, true},
    {"c2*7f7fffffffffffffff", TOO_BIG, NULL, true},
    {"42*00[] 00*00[] 80", TOO_MANY, &tight, true},
    {"83", OPCODE},
    {"84", OPCODE},
    {"85", OPCODE},
    {"86", OPCODE},
    {"87", OPCODE},
    {"03", OPCODE},
    {"8b", OPCODE},
    {"8c", OPCODE},
    {"8d", OPCODE},
    {"8e", OPCODE},
    {"8f", OPCODE},
    {"08", CONTROL},
    {"09", CONTROL},
    {"01*01[(a)] 0a", CONTROL},
    {"89*7e", TOO_LONG},
    {"8a*7f", TOO_LONG},
    {"88*7e", TOO_LONG},
    {"80", NO_START},
    {"00", NO_START},
    {"81*01[(a)] 80", "text 61 | " NO_START},
    {"01*01[(a)] 80*01[(b)] 00", "text 6162 | " NO_START},
    {"01*01[(a)] 81", INSIDE},
    {"02*00[] 02", INSIDE},
    {"01*01[(a)] 89*00[] 01", "ping  | " INSIDE},
    /* lengths */
    {"82*7e0000", SHORTEST},
    {"82*7e007d", SHORTEST},
    {"82*7f000000000000", SHORTEST, &unlimited},
    {"01*01[(a)] 80*7e007d", SHORTEST},
    {"82*7f80", TOP_BIT, &unlimited},
    {"82*7fff", TOP_BIT, &tight},
    {"02*0a[#10] 80*7fff", TOP_BIT, &unlimited},
    /* limits */
    {"82*09", TOO_BIG, &tight},
    {"81*7e007e", TOO_BIG, &tight},
    {"82*7f0000000000010000", TOO_BIG, &tight},
    {"82*7f0000000000100001", TOO_BIG},
    {"82*7f7fffffffffffffff", TOO_BIG},
    {"02*05[#5] 80*04", TOO_BIG, &tight},
    {"02*05[#5] 80*7f7fffffffffffffff", TOO_BIG, &tight},
    {"02*05[#5] 89*09[#9] 00*04", "ping 616161616161616161 | " TOO_BIG, &tight},
    {"02*01[(a)] 00*01[(b)] 00", TOO_MANY, &tight},
    {"02*00[] 00*00[] 80", TOO_MANY, &tight},
    {"82*01[00] 02*01[01] 89*00[] 00*00[] 80", "binary 00 | ping  | " TOO_MANY, &tight},
    /* close */
    {"88*01", HALF},
    {"88*02[0000]", CODE},
    {"88*02[03e7]", CODE},
    {"88*02[03ec]", CODE},
    {"88*02[03ed]", CODE},
    {"88*02[03ee]", CODE},
    {"88*02[03f7]", CODE},
    {"88*02[0bb7]", CODE},
    {"88*02[1388]", CODE},
    {"88*03[ffff ff]", CODE},
    {"88*03[03e8 ff]", REASON},
    {"88*03[03e8 c3]", REASON},
    {"88*05[03e8 eda080]", REASON},
    /* text: the byte that no continuation can make good */
    {"81*05[ff", BAD_TEXT},
    {"81*05[(ab) 80", BAD_TEXT},
    {"81*05[c1", BAD_TEXT},
    {"81*05[c320", BAD_TEXT},
    {"81*05[e09f", BAD_TEXT},
    {"81*05[eda0", BAD_TEXT},
    {"81*05[f08f", BAD_TEXT},
    {"81*05[f490", BAD_TEXT},
    {"81*05[f5", BAD_TEXT},
    {"81*02[c3ff]", BAD_TEXT},
    {"81*7f0000000000010000[#1000 fe", BAD_TEXT},
    {"01*02[(ab)] 00*02[(c)c3] 89*00[] 80*01[c3]", "ping  | " BAD_TEXT},
    {"01*01[f4] 00*05[90", BAD_TEXT},
    {"81*01[c3]", CUT_TEXT},
    {"81*03[f09f98]", CUT_TEXT},
    {"01*01[c3] 80*00[]", CUT_TEXT},
    {"01*01[e2] 00*00[] 80*01[82]", CUT_TEXT},
};

static void session_refuses_what_is_not_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        check_cuts(WSI_SERVER, &invalid[i]);
        check_cuts(WSI_CLIENT, &invalid[i]);
    }
}

static void session_ignores_everything_after_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        check_cuts_behind(WSI_SERVER, &invalid[i], "81*01[(x)] 88*02[03e8] ff");
        check_cuts_behind(WSI_CLIENT, &invalid[i], "81*01[(x)] 88*02[03e8] ff");
    }
}

static void session_refuses_at_the_first_wrong_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(invalid); i++) {
        const struct frames_case *c = &invalid[i / 2];
        const enum wsi_role role = i % 2 == 0 ? WSI_SERVER : WSI_CLIENT;
        struct end end = {role, c->limits != NULL ? c->limits : &ordinary,
                          c->compression};
        struct bytes in = frames(role, c->frames);

        for (int j = WHOLE; j < DELIVERIES; j++) {
            char *before;

            end.delivery = (enum delivery)j;
            before = test_decode_cut(in.data, in.len - 1, NULL, 0, decode, &end);
            if (strstr(before, "error") != NULL)
                fail_msg("%s: %s before the last byte", c->frames, before);
            free(before);
        }
        free(in.data);
    }
}

static void session_checks_masking_by_role(void **state)
{
    static const struct {
        const char *bytes;
        const char *at_server;
        const char *at_client;
    } cases[] = {
        {"8105", "error 1002: a frame from the client is not masked", "more"},
        {"8185", "more", "error 1002: a frame from the server is masked"},
        {"8100", "error 1002: a frame from the client is not masked", "text "},
        {"828000000000", "binary ", "error 1002: a frame from the server is masked"},
        {"8900", "error 1002: a frame from the client is not masked", "ping "},
        {"898000000000", "ping ", "error 1002: a frame from the server is masked"},
        {"81fe", "more", "error 1002: a frame from the server is masked"},
        {"817e", "error 1002: a frame from the client is not masked", "more"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        check_cuts(WSI_SERVER, &(struct frames_case){cases[i].bytes, cases[i].at_server});
        check_cuts(WSI_CLIENT, &(struct frames_case){cases[i].bytes, cases[i].at_client});
    }
}

static void session_takes_the_example_of_section_5_7(void **state)
{
    /* Literal bytes: nothing of ours has written them. */
    static const uint8_t masked[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                     0x7f, 0x9f, 0x4d, 0x51, 0x58};
    struct end end = {WSI_SERVER, &ordinary};

    (void)state;
    test_all_cuts(masked, sizeof masked, "text 48656c6c6f", decode, &end);
}

/* ---- limits that change, and memory ---- */

/* Feeds the frames in one piece; the events, as text to free(). */
static char *feed(struct wsi_session *session, const struct wsi_session_limits *limits,
                  const char *notation)
{
    struct bytes in = frames((enum wsi_role)session->role, notation);
    struct test_transcript out = {0};
    uint8_t *data = in.data;
    size_t left = in.len;
    struct wsi_event event;

    while (wsi_session_next(session, limits, &data, &left, &event),
           event.kind != WSI_EVENT_NONE)
        add_event(&out, &event);
    assert_int_equal(left, 0);
    free(in.data);
    return out.text != NULL ? out.text : strdup("");
}

static void assert_feed(struct wsi_session *session,
                        const struct wsi_session_limits *limits, const char *notation,
                        const char *events)
{
    char *seen = feed(session, limits, notation);

    assert_string_equal(seen, events);
    free(seen);
}

static void session_reads_its_limits_on_every_frame(void **state)
{
    struct wsi_session_limits limits = {.max_message_bytes = 8, .max_fragments = 2};
    struct wsi_session session;

    (void)state;
    for (int role = WSI_SERVER; role <= WSI_CLIENT; role++) {
        limits = (struct wsi_session_limits){.max_message_bytes = 8, .max_fragments = 2};
        wsi_session_init(&session, (enum wsi_role)role);
        assert_feed(&session, &limits, "82*08[#8] 02*08[#8]", "binary 6161616161616161");
        limits.max_message_bytes = 10;
        limits.max_fragments = 3;
        assert_feed(&session, &limits, "00*02[#2]", "");
        assert_feed(&session, &limits, "80*00[]", "binary 61616161616161616161");
        assert_feed(&session, &limits, "02*05[#5]", "");
        limits.max_message_bytes = 3; /* below what is gathered */
        assert_feed(&session, &limits, "80*00", TOO_BIG);
        wsi_session_fini(&session);

        wsi_session_init(&session, (enum wsi_role)role);
        assert_feed(&session, &limits, "02*01[00] 00*01[00]", "");
        limits.max_fragments = 1;
        assert_feed(&session, &limits, "80", TOO_MANY);
        wsi_session_fini(&session);
    }
}

static void session_finishes_a_frame_that_it_accepted(void **state)
{
    struct wsi_session_limits limits = {.max_message_bytes = 200, .max_fragments = 2};
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_CLIENT);
    assert_feed(&session, &limits, "82*7e0080[#10", "");
    limits.max_message_bytes = 3;
    assert_feed(&session, &limits, "#118]", "binary 128 bytes 33e9f677");
    assert_feed(&session, &limits, "82*04", TOO_BIG);
    wsi_session_fini(&session);
}

static void session_limit_of_zero_admits_empty_messages_only(void **state)
{
    static const struct wsi_session_limits nothing = {.max_message_bytes = 0,
                                                      .max_fragments = 2};

    (void)state;
    check_cuts(WSI_SERVER,
               &(struct frames_case){"81*00[] 82*01", "text  | " TOO_BIG, &nothing});
}

static void session_neither_copies_nor_allocates_for_whole_messages(void **state)
{
    static const char *const whole[] = {
        "81*05[(Hello)]",         "82*7e0200[#512]", "82*7f0000000000010000[#65536]",
        "01*00[] 80*05[(Hello)]", "89*05[(Hello)]",  "88*07[03e8(Hello)]",
    };

    (void)state;
    for (size_t i = 0; i < 4 * COUNT(whole); i++) {
        const enum wsi_role role = i % 2 == 0 ? WSI_SERVER : WSI_CLIENT;
        struct bytes in = frames(role, whole[i / 4]);
        struct wsi_session session;
        struct wsi_event event;
        uint8_t *data = in.data;
        size_t left = in.len;

        wsi_session_init(&session, role);
        wsi_session_deliver_parts(&session, i / 2 % 2 != 0);
        test_fail_allocation(1, 1);
        wsi_session_next(&session, &ordinary, &data, &left, &event);
        assert_int_equal(test_stop_failing(), 0);
        assert_true(wsi_session_is_idle(&session));
        assert_true(event.len >= 5);
        assert_ptr_equal(event.data + event.len, in.data + in.len);
        assert_int_equal(left, 0);
        wsi_session_fini(&session);
        free(in.data);
    }
}

static void session_grows_with_what_arrived_not_with_what_was_declared(void **state)
{
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_SERVER);
    assert_feed(&session, &unlimited, "82*7f0000000040000000", "");
    assert_in_range(wsi_session_held_bytes(&session), 1, STATE_MAX);
    assert_feed(&session, &unlimited, "[#10", "");
    assert_in_range(wsi_session_held_bytes(&session), 10, STATE_MAX + 64);
    assert_feed(&session, &unlimited, "#10000", "");
    assert_in_range(wsi_session_held_bytes(&session), 10010, STATE_MAX + 80000);
    wsi_session_fini(&session);
}

static void session_keeps_its_buffer_in_a_stream_of_large_messages(void **state)
{
    const size_t live = test_live_blocks();
    struct wsi_session session;
    char *seen;

    (void)state;
    wsi_session_init(&session, WSI_CLIENT);
    assert_feed(&session, &ordinary, "82*7f0000000000020000[#100000", "");
    test_fail_allocation(1, 1);
    seen = feed(&session, &ordinary, "#31072] 82*7f0000000000020000[#100000");
    assert_int_equal(test_stop_failing(), 0);
    assert_string_equal(seen, "binary 131072 bytes 8d2e437d");
    free(seen);
    assert_true(wsi_session_held_bytes(&session) > 100000);
    assert_feed(&session, &ordinary, "#31072]", "binary 131072 bytes 8d2e437d");
    assert_int_equal(wsi_session_held_bytes(&session), 0);
    assert_int_equal(test_live_blocks(), live);
    wsi_session_fini(&session);
}

static void session_drops_a_large_buffer_before_a_small_message(void **state)
{
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_CLIENT);
    assert_feed(&session, &ordinary, "82*7f0000000000080000[#300000", "");
    assert_feed(&session, &ordinary, "#224288] 82*0a[#5", "binary 524288 bytes bd5b6aca");
    assert_in_range(wsi_session_held_bytes(&session), 5, STATE_MAX + 64);
    wsi_session_fini(&session);
}

static void session_holds_nothing_after_close_and_error(void **state)
{
    static const char *const ends[] = {"88*00[]", "88*02[03e8]", "ff", "80*7fff"};

    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct bytes in = frames(WSI_SERVER, ends[i]);
        struct wsi_session session;
        struct wsi_event event;
        uint8_t *data = in.data;
        size_t left = in.len;

        wsi_session_init(&session, WSI_SERVER);
        assert_feed(&session, &ordinary, "02*20[#32]", "");
        assert_true(wsi_session_held_bytes(&session) >= 32);
        wsi_session_next(&session, &ordinary, &data, &left, &event);
        assert_int_equal(event.kind, i < 2 ? WSI_EVENT_CLOSE : WSI_EVENT_ERROR);
        assert_int_equal(wsi_session_held_bytes(&session), 0);
        assert_true(wsi_session_is_idle(&session));
        wsi_session_fini(&session);
        free(in.data);
    }
}

static void session_is_idle_only_between_messages(void **state)
{
    static const struct {
        const char *frames;
        bool idle;
    } cases[] = {
        {"", true},           {"81", false},
        {"81*01", false},     {"81*02[(a)", false},
        {"81*01[(a)]", true}, {"01*01[(a)]", false},
        {"89*01", false},     {"01*01[(a)] 89*01[(b)]", false},
        {"89*01[(b)]", true}, {"02*00[] 80*00[]", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wsi_session session;

        wsi_session_init(&session, WSI_CLIENT);
        free(feed(&session, &ordinary, cases[i].frames));
        assert_int_equal(wsi_session_is_idle(&session), cases[i].idle);
        wsi_session_fini(&session);
    }
}

/* The contract that lets a caller leave out the last call. */
static void session_holds_what_events_point_to_until_the_next_call(void **state)
{
    static const struct {
        const char *begin, *end;
    } cut[] = {
        {"82*0a[#5", "#5]"},
        {"01*05[#5]", "80*05[#5]"},
        {"89*0a[#5", "#5]"},
        {"88*07[03e8 #2", "#3]"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cut); i++) {
        struct bytes in = frames(WSI_CLIENT, cut[i].end);
        struct wsi_session session;
        struct wsi_event event;
        uint8_t *data = in.data;
        size_t left = in.len;

        wsi_session_init(&session, WSI_CLIENT);
        assert_feed(&session, &ordinary, cut[i].begin, "");
        wsi_session_next(&session, &ordinary, &data, &left, &event);
        free(in.data); /* so that events must not point into it */
        assert_int_equal(left, 0);
        assert_false(wsi_session_is_idle(&session));
        assert_memory_equal(event.data, "aaaaa", 5);
        wsi_session_next(&session, &ordinary, &data, &left, &event);
        assert_int_equal(event.kind, WSI_EVENT_NONE);
        assert_true(wsi_session_is_idle(&session));
        wsi_session_fini(&session);
    }
}

/* Decodes with a cut in every payload, so that everything has to be kept. */
static int decode_piecemeal(bool in_parts)
{
    static const char *const pieces[] = {
        "01*00[] 89*01[07]",
        "8a*00[] 80*02[c3",
        "a9]",
        "02*7e0100[#128",
        "#128]",
        "89*04[0102",
        "0304]",
        "00*7e0400[#1024]",
        "8a*02[05",
        "06]",
        "80*02[07",
        "08]",
        "88*04[03e8 6f",
        "6b]",
    };
    struct wsi_session session;
    int result = 0;

    wsi_session_init(&session,
                     WSI_CLIENT); /* unmasked, so that a frame can be cut here */
    wsi_session_deliver_parts(&session, in_parts);
    for (size_t i = 0; i < COUNT(pieces) && result == 0; i++) {
        char *seen = feed(&session, &ordinary, pieces[i]);

        if (strstr(seen, "error 1011") != NULL)
            result = WSOCK_ENOMEM;
        free(seen);
    }
    assert_int_equal(session.failed, result != 0);
    assert_int_equal(session.close_received, result == 0);
    wsi_session_fini(&session);
    return result;
}

static void session_reports_a_failed_allocation_as_1011(void **state)
{
    int result = 0;

    (void)state;
    FOR_EACH_OOM(result, result = decode_piecemeal(false), (void)0);
    FOR_EACH_OOM(result, result = decode_piecemeal(true), (void)0);
}

/* ---- messages in parts ---- */

/* What the client is fed, each string as one read, and the events of each. */
struct parts_case {
    const char *reads[4];
    const char *events[4];
    const struct wsi_session_limits *limits; /* NULL: ordinary */
};

static void check_parts(const struct parts_case *c)
{
    struct wsi_session session;

    wsi_session_init(&session, WSI_CLIENT);
    wsi_session_allow_compressed(&session);
    wsi_session_deliver_parts(&session, true);
    for (size_t i = 0; i < COUNT(c->reads) && c->reads[i] != NULL; i++)
        assert_feed(&session, c->limits != NULL ? c->limits : &ordinary, c->reads[i],
                    c->events[i]);
    wsi_session_fini(&session);
}

static void session_delivers_each_part_when_it_arrives(void **state)
{
    static const struct parts_case cases[] = {
        {{"81*05[(Hello)]"}, {"text <48656c6c6f>"}},
        {{"82*05[(He)", "(l)", "(lo)]"}, {"binary <4865", "binary 6c", "binary 6c6f>"}},
        {{"81", "05", "(Hello)"}, {"", "", "text <48656c6c6f>"}},
        /* parts of fragments, and control frames between them */
        {{"01*03[(Hel)] 80*02[(lo)]"}, {"text <48656c | text 6c6f>"}},
        {{"02*03[01", "0203] 89*01[(p)] 00*01[04]", "80*02[05", "06]"},
         {"binary <01", "binary 0203 | ping 70 | binary 04", "binary 05", "binary 06>"}},
        /* an empty frame is a part only when it ends the message */
        {{"81*00[] 82*00[]"}, {"text <> | binary <>"}},
        {{"01*00[] 00*00[] 80*00[]"}, {"text <>"}},
        {{"01*00[] 89*00[] 80*01[(a)]"}, {"ping  | text <61>"}},
        {{"01*01[(a)] 00*00[]", "80*00[]"}, {"text <61", "text >"}},
        /* characters are cut, compressed text is not looked into */
        {{"81*04[f09f", "98", "80]"}, {"text <f09f", "text 98", "text 80>"}},
        {{"41*02[c3ff]", "00*01[fe] 80*00[]"},
         {"compressed text <c3ff", "compressed text fe | compressed text >"}},
        {{"c2*02[01", "02] 82*01[03]"},
         {"compressed binary <01", "compressed binary 02> | binary <03>"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        check_parts(&cases[i]);
}

static void session_may_refuse_a_message_after_some_of_its_parts(void **state)
{
    static const struct parts_case cases[] = {
        /* not the good bytes before the bad one either */
        {{"81*06[(ab)", "(c) ff"}, {"text <6162", BAD_TEXT}},
        {{"81*06[(ab) ff"}, {BAD_TEXT}},
        {{"81*02[c3", "20]"}, {"text <c3", BAD_TEXT}},
        {{"01*01[c3] 80*02[(ab)]"}, {"text <c3 | " BAD_TEXT}},
        {{"81*03[(ab)", "c3]"}, {"text <6162", CUT_TEXT}},
        {{"01*01[c3] 80*00[]"}, {"text <c3 | " CUT_TEXT}},
        {{"02*05[#5] 80*04"}, {"binary <6161616161 | " TOO_BIG}, &tight},
        {{"02*05[#3", "#2] 80*7f7fffffffffffffff"},
         {"binary <616161", "binary 6161 | " TOO_BIG},
         &tight},
        {{"42*40[#64] 80*0a"},
         {"compressed binary <64 bytes 7dc47b1b | " TOO_BIG},
         &tight},
        {{"02*01[00] 00*01[01] 80"}, {"binary <00 | binary 01 | " TOO_MANY}, &tight},
        {{"01*01[(a)] 81"}, {"text <61 | " INSIDE}},
        {{"01*01[(a)] 89*00[] 09"}, {"text <61 | ping  | " CONTROL}},
        {{"81*01[(a)] 80"}, {"text <61> | " NO_START}},
        {{"01*01[(a)] 88*02[03e8] 80*01[(b)]"}, {"text <61 | close 1000 "}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        check_parts(&cases[i]);
}

static void session_changes_its_delivery_with_the_next_message(void **state)
{
    static const struct {
        bool in_parts; /* set before this is read */
        const char *frames;
        const char *events;
    } reads[] = {
        {false, "81*01[(a)]", "text 61"},
        {true, "81*01[(b)]", "text <62>"},
        {true, "01*02[(c)", "text <63"},
        {false, "(d)] 89*00[]", "text 64 | ping "},
        {false, "80*01[(e)] 81*01[(f)]", "text 65> | text 66"},
        {false, "01*02[(g)", ""},
        {true, "(h)] 89*00[]", "ping "},
        {true, "80*01[(i)] 82*01[00]", "text 676869 | binary <00>"},
        /* the first byte of its first frame begins a message, that of a ping does not */
        {false, "81", ""},
        {true, "01 (j) 81", "text 6a"},
        {false, "01 (k) 89", "text <6b>"},
        {true, "00 81*01[(l)] 89", "ping  | text <6c>"},
        {false, "00 81*01[(m)]", "ping  | text 6d"},
        /* asked for and taken back inside a message */
        {false, "01*01[(n)]", ""},
        {true, "00*01[(o)]", ""},
        {false, "80*01[(p)] 81*01[(q)]", "text 6e6f70 | text 71"},
        {true, "03", OPCODE},
        {false, "81*01[(r)]", ""},
        {true, "81*01[(s)]", ""},
    };
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_CLIENT);
    for (size_t i = 0; i < COUNT(reads); i++) {
        wsi_session_deliver_parts(&session, reads[i].in_parts);
        assert_feed(&session, &ordinary, reads[i].frames, reads[i].events);
    }
    wsi_session_fini(&session);
}

static void session_changes_its_delivery_from_within_an_event(void **state)
{
    (void)state;
    for (int role = WSI_SERVER; role <= WSI_CLIENT; role++) {
        struct bytes in = frames((enum wsi_role)role,
                                 "81*01[(a)] 81*01[(b)] 01*01[(c)] 80*01[(d)] 81*01[(e)] "
                                 "82*00[] 02*01[00]");
        struct test_transcript out = {0};
        struct wsi_session session;
        struct wsi_event event;
        uint8_t *data = in.data;
        size_t left = in.len;
        bool in_parts = false;

        wsi_session_init(&session, (enum wsi_role)role);
        while (wsi_session_next(&session, &ordinary, &data, &left, &event),
               event.kind != WSI_EVENT_NONE) {
            add_event(&out, &event);
            in_parts = !in_parts;
            wsi_session_deliver_parts(&session, in_parts);
        }
        assert_string_equal(out.text,
                            "text 61 | text <62> | text 6364 | text <65> | binary  | "
                            "binary <00");
        wsi_session_fini(&session);
        free(out.text);
        free(in.data);
    }
}

static void session_holds_no_payload_of_a_message_in_parts(void **state)
{
    struct wsi_session session;
    char *seen;

    (void)state;
    wsi_session_init(&session, WSI_CLIENT);
    wsi_session_deliver_parts(&session, true);
    free(feed(&session, &unlimited, "02*7e0400[#1024] 00*7f7000000000000000[#10"));
    assert_in_range(wsi_session_held_bytes(&session), 1, STATE_MAX);
    test_fail_allocation(1, 1);
    seen = feed(&session, &unlimited, "#100000");
    assert_int_equal(test_stop_failing(), 0);
    assert_string_equal(seen, "binary 100000 bytes a0778083");
    free(seen);
    assert_in_range(wsi_session_held_bytes(&session), 1, STATE_MAX);
    wsi_session_fini(&session);

    /* nor a buffer that a whole one left, which its event pointed to until now */
    wsi_session_init(&session, WSI_CLIENT);
    assert_feed(&session, &ordinary, "82*7f0000000000020000[#100000", "");
    wsi_session_deliver_parts(&session, true);
    assert_feed(&session, &ordinary, "#31072] 82*0a[#5",
                "binary 131072 bytes 8d2e437d | binary <6161616161");
    assert_in_range(wsi_session_held_bytes(&session), 1, STATE_MAX);
    assert_feed(&session, &ordinary, "#5]", "binary 6161616161>");
    assert_true(wsi_session_is_idle(&session));
    wsi_session_fini(&session);
}

static void session_reads_its_limits_on_every_frame_of_parts(void **state)
{
    struct wsi_session_limits limits = {.max_message_bytes = 8, .max_fragments = 2};
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_CLIENT);
    wsi_session_deliver_parts(&session, true);
    assert_feed(&session, &limits, "02*08[#6", "binary <616161616161");
    limits.max_message_bytes = 3; /* the frame was accepted */
    assert_feed(&session, &limits, "#2]", "binary 6161");
    limits = (struct wsi_session_limits){.max_message_bytes = 10, .max_fragments = 3};
    assert_feed(&session, &limits, "00*02[#2] 80*00[]", "binary 6161 | binary >");
    assert_feed(&session, &limits, "02*0a[#10]", "binary <61616161616161616161");
    limits.max_message_bytes = 9; /* below what was delivered */
    assert_feed(&session, &limits, "80*00", TOO_BIG);
    wsi_session_fini(&session);
}

/* The first part of an unfinished message is lost with the memory for its state. */
static void session_delivers_no_part_that_it_cannot_go_on_from(void **state)
{
    static const char *const begun[] = {"81*05[(a)", "01*01[(a)]"};

    (void)state;
    for (size_t i = 0; i < COUNT(begun); i++) {
        struct wsi_session session;
        char *seen;

        wsi_session_init(&session, WSI_CLIENT);
        wsi_session_deliver_parts(&session, true);
        test_fail_allocation(1, 0);
        seen = feed(&session, &ordinary, begun[i]);
        assert_int_equal(test_stop_failing(), 1);
        assert_string_equal(seen, "error 1011: out of memory for an incomplete frame");
        assert_true(session.failed && wsi_session_is_idle(&session));
        free(seen);
        wsi_session_fini(&session);
    }
}

/* ---- sessions by chance ---- */

static void put_code_point(struct bytes *out, uint32_t c)
{
    uint8_t utf8[4];
    size_t len = 1;

    if (c < 0x80) {
        utf8[0] = (uint8_t)c;
    } else {
        len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = len - 1; i > 0; i--, c >>= 6)
            utf8[i] = (uint8_t)(0x80 | (c & 0x3f));
        utf8[0] = (uint8_t)((0xf00u >> len & 0xf0) | c);
    }
    put(out, utf8, len);
}

static struct bytes random_payload(uint32_t *seed, bool text, size_t len)
{
    static const uint32_t widths[] = {0x80, 0x800, 0xd800, 0x110000};
    struct bytes out = {0};

    put(&out, NULL, 0);
    while (out.len < len)
        if (text) {
            const uint32_t c = test_random(seed) % widths[test_random(seed) % 4];

            put_code_point(&out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
        } else {
            const uint8_t byte = (uint8_t)test_random(seed);

            put(&out, &byte, 1);
        }
    return out;
}

static void put_frame(struct bytes *out, uint32_t *seed, enum wsi_role receiver,
                      unsigned byte0, const uint8_t *data, size_t len)
{
    const uint32_t random = test_random(seed);
    uint8_t header[WSI_FRAME_HEADER_MAX];
    uint8_t key[4];
    const bool masked = receiver == WSI_SERVER;

    memcpy(key, &random, sizeof key);
    put(out, header, wsi_frame_write_header(header, byte0, len, masked ? key : NULL));
    put(out, data, len);
    if (masked)
        wsi_mask(out->data + out->len - len, out->data + out->len - len, len, key, 0);
}

static void put_random_control(struct bytes *out, uint32_t *seed, enum wsi_role receiver,
                               struct test_transcript *events)
{
    const bool ping = test_random(seed) % 2 == 0;
    struct bytes payload = random_payload(
        seed, false, test_random(seed) % (WSI_CONTROL_PAYLOAD_MAX + 1));
    const struct wsi_event event = {
        .kind = ping ? WSI_EVENT_PING : WSI_EVENT_PONG,
        .data = payload.data,
        .len = payload.len,
    };

    put_frame(out, seed, receiver, ping ? 0x89 : 0x8a, payload.data, payload.len);
    add_event(events, &event);
    free(payload.data);
}

static void put_random_message(struct bytes *out, uint32_t *seed, enum wsi_role receiver,
                               struct test_transcript *events)
{
    static const size_t sizes[] = {1, 40, 126, 300, 3000, 70000};
    const size_t size = sizes[test_random(seed) % (test_random(seed) % 8 == 0 ? 6 : 4)];
    const bool text = test_random(seed) % 2 == 0;
    struct bytes payload = random_payload(seed, text, test_random(seed) % size);
    const struct wsi_event event = {
        .kind = WSI_EVENT_MESSAGE,
        .opcode = text ? WSI_OP_TEXT : WSI_OP_BINARY,
        .data = payload.data,
        .len = payload.len,
    };
    unsigned byte0 = event.opcode;
    size_t sent = 0;

    while (test_random(seed) % 3 == 0) {
        const size_t part = test_random(seed) % (payload.len - sent + 1);

        put_frame(out, seed, receiver, byte0, payload.data + sent, part);
        byte0 = WSI_OP_CONTINUATION;
        sent += part;
        if (test_random(seed) % 3 == 0)
            put_random_control(out, seed, receiver, events);
    }
    put_frame(out, seed, receiver, WSI_FRAME_FIN | byte0, payload.data + sent,
              payload.len - sent);
    add_event(events, &event);
    free(payload.data);
}

static struct bytes random_session(uint32_t *seed, enum wsi_role receiver, unsigned most,
                                   struct test_transcript *events)
{
    struct bytes out = {0};

    put(&out, NULL, 0);
    for (unsigned n = 1 + test_random(seed) % most; n > 0; n--)
        if (test_random(seed) % 4 == 0)
            put_random_control(&out, seed, receiver, events);
        else
            put_random_message(&out, seed, receiver, events);
    return out;
}

static int compare_sizes(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

static char *decode_at_random_cuts(const struct bytes *in, uint32_t *seed,
                                   struct end *end)
{
    size_t cuts[24];
    const size_t count = test_random(seed) % COUNT(cuts);

    for (size_t i = 0; i < count; i++)
        cuts[i] = test_random(seed) % (in->len + 1);
    qsort(cuts, count, sizeof cuts[0], compare_sizes);
    return test_decode_cut(in->data, in->len, cuts, count, decode, end);
}

static void session_decodes_random_sessions_under_random_cuts(void **state)
{
    uint32_t seed = 20231;

    (void)state;
    for (int round = 0; round < 600; round++) {
        struct end end = {round % 2 == 0 ? WSI_SERVER : WSI_CLIENT, &ordinary};
        struct test_transcript events = {0};
        struct bytes in = random_session(&seed, end.role, 12, &events);

        for (int i = 0; i < 2 * DELIVERIES; i++) {
            char *seen;

            end.delivery = (enum delivery)(i % DELIVERIES);
            seen = decode_at_random_cuts(&in, &seed, &end);
            assert_string_equal(seen, events.text);
            free(seen);
        }
        free(events.text);
        free(in.data);
    }
}

static void session_survives_mutations_and_says_the_same_under_any_cut(void **state)
{
    static const struct wsi_session_limits *const limits[] = {&ordinary, &unlimited,
                                                              &tight};
    uint32_t seed = 5;

    (void)state;
    for (int round = 0; round < 6000; round++) {
        struct end end = {round % 2 == 0 ? WSI_SERVER : WSI_CLIENT, limits[round % 3]};
        struct test_transcript events = {0};
        struct bytes in = random_session(&seed, end.role, 4, &events);
        char *uncut;

        for (uint32_t n = 1 + test_random(&seed) % 4; n > 0; n--) {
            /* Mostly near the start: later ones are behind the first error. */
            const size_t range = test_random(&seed) % 2 == 0 && in.len > 20 ? 20 : in.len;

            in.data[test_random(&seed) % range] ^= (uint8_t)(test_random(&seed) % 3 == 0
                                                                 ? 1u << test_random(
                                                                             &seed) %
                                                                             8
                                                                 : test_random(&seed));
        }
        uncut = test_decode_cut(in.data, in.len, NULL, 0, decode, &end);
        for (int i = 0; i < DELIVERIES; i++) {
            char *seen;

            end.delivery = (enum delivery)i;
            seen = decode_at_random_cuts(&in, &seed, &end);
            assert_string_equal(seen, uncut);
            free(seen);
        }
        free(uncut);
        free(events.text);
        free(in.data);
    }
}

/* ---- what a session sends ---- */

static void session_writes_control_frames_for_its_role(void **state)
{
    static const uint8_t plain[] = {0x89, 0x02, 0x01, 0x02};
    static const uint8_t masked[] = {0x8a, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x36, 0xf8};
    uint8_t out[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX];
    uint8_t full[WSI_CONTROL_PAYLOAD_MAX] = {0};
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_SERVER);
    assert_int_equal(
        wsi_session_control(&session, out, WSI_OP_PING, some_key, "\x01\x02", 2), 4);
    assert_memory_equal(out, plain, 4);
    assert_int_equal(wsi_session_control(&session, out, WSI_OP_PONG, NULL, NULL, 0), 2);
    assert_memory_equal(out, "\x8a\x00", 2);
    assert_int_equal(
        wsi_session_control(&session, out, WSI_OP_PONG, NULL, full, sizeof full), 127);
    wsi_session_init(&session, WSI_CLIENT);
    assert_int_equal(
        wsi_session_control(&session, out, WSI_OP_PONG, some_key, "\x01\x02", 2), 8);
    assert_memory_equal(out, masked, 8);
    assert_int_equal(wsi_session_control(&session, out, WSI_OP_PING, some_key, NULL, 0),
                     6);
    assert_memory_equal(out, "\x89\x80\x37\xfa\x21\x3d", 6);
}

/* One end closes with the code, the other receives that. */
static void pass_close(struct wsi_session *from, struct wsi_session *to, unsigned code,
                       const char *reason)
{
    uint8_t out[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX];
    size_t len = wsi_session_close(from, out, code, some_key, reason, strlen(reason));
    uint8_t *data = out;
    struct wsi_event event;

    assert_int_not_equal(len, 0);
    assert_true(from->close_sent);
    assert_int_equal(from->sent_code, code);
    wsi_session_next(to, &ordinary, &data, &len, &event);
    assert_int_equal(event.kind, WSI_EVENT_CLOSE);
    assert_int_equal(event.code, code);
    assert_int_equal(event.len, strlen(reason));
    assert_memory_equal(event.data, reason, event.len);
    assert_true(to->close_received);
    assert_int_equal(to->received_code, code);
}

static void session_closes_from_either_side(void **state)
{
    static const struct {
        unsigned code;
        const char *reason;
    } closes[] = {
        {1000, ""},         {1000, "bye"}, {1001, "going away"},
        {1011, "\xc3\xa9"}, {4999, ""},    {1005, ""},
    };

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(closes); i++) {
        struct wsi_session first, second;
        uint8_t out[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX];
        const unsigned code = closes[i / 2].code;

        wsi_session_init(&first, i % 2 == 0 ? WSI_SERVER : WSI_CLIENT);
        wsi_session_init(&second, i % 2 == 0 ? WSI_CLIENT : WSI_SERVER);
        pass_close(&first, &second, code, closes[i / 2].reason);
        assert_false(second.close_sent);
        assert_int_equal(wsi_session_reply_code(&second), code);
        pass_close(&second, &first, wsi_session_reply_code(&second), "");
        assert_int_equal(wsi_session_close(&first, out, 1001, some_key, "", 0), 0);
        assert_int_equal(first.sent_code, code);
        assert_int_equal(wsi_session_close(&second, out, 1001, some_key, "", 0), 0);
    }
}

static void session_close_frames_may_cross(void **state)
{
    struct wsi_session server, client;

    (void)state;
    wsi_session_init(&server, WSI_SERVER);
    wsi_session_init(&client, WSI_CLIENT);
    pass_close(&server, &client, 1001, "");
    pass_close(&client, &server, 1000, "done");
    assert_int_equal(server.sent_code, 1001);
    assert_int_equal(server.received_code, 1000);
}

static void session_receives_until_the_peer_closes_too(void **state)
{
    uint8_t out[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX];
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_SERVER);
    assert_int_equal(wsi_session_close(&session, out, 1000, NULL, NULL, 0), 4);
    assert_memory_equal(out, "\x88\x02\x03\xe8", 4);
    assert_feed(&session, &ordinary, "81*01[(a)] 88*00[] 81*01[(b)]",
                "text 61 | close 1005 ");
    wsi_session_fini(&session);
}

static void session_replies_1000_before_anything_was_received(void **state)
{
    struct wsi_session session;

    (void)state;
    wsi_session_init(&session, WSI_SERVER);
    assert_int_equal(wsi_session_reply_code(&session), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(session_decodes_what_is_valid_however_it_is_cut),
        TEST(session_refuses_what_is_not_however_it_is_cut),
        TEST(session_ignores_everything_after_an_error),
        TEST(session_refuses_at_the_first_wrong_byte),
        TEST(session_checks_masking_by_role),
        TEST(session_takes_the_example_of_section_5_7),
        TEST(session_reads_its_limits_on_every_frame),
        TEST(session_finishes_a_frame_that_it_accepted),
        TEST(session_limit_of_zero_admits_empty_messages_only),
        TEST(session_neither_copies_nor_allocates_for_whole_messages),
        TEST(session_grows_with_what_arrived_not_with_what_was_declared),
        TEST(session_keeps_its_buffer_in_a_stream_of_large_messages),
        TEST(session_drops_a_large_buffer_before_a_small_message),
        TEST(session_holds_nothing_after_close_and_error),
        TEST(session_is_idle_only_between_messages),
        TEST(session_holds_what_events_point_to_until_the_next_call),
        TEST(session_reports_a_failed_allocation_as_1011),
        TEST(session_delivers_each_part_when_it_arrives),
        TEST(session_may_refuse_a_message_after_some_of_its_parts),
        TEST(session_changes_its_delivery_with_the_next_message),
        TEST(session_changes_its_delivery_from_within_an_event),
        TEST(session_holds_no_payload_of_a_message_in_parts),
        TEST(session_reads_its_limits_on_every_frame_of_parts),
        TEST(session_delivers_no_part_that_it_cannot_go_on_from),
        TEST(session_decodes_random_sessions_under_random_cuts),
        TEST(session_survives_mutations_and_says_the_same_under_any_cut),
        TEST(session_writes_control_frames_for_its_role),
        TEST(session_closes_from_either_side),
        TEST(session_close_frames_may_cross),
        TEST(session_receives_until_the_peer_closes_too),
        TEST(session_replies_1000_before_anything_was_received),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
