/* SPDX-License-Identifier: MIT */
/* What a client of TLS announces, and when that is too much. */
#include "test.h"

#include <string.h>

#include "cuts.h"
#include "tls/hello.h"

/* Decodes until something is refused, and says in which place. */
static void decode(struct test_piece *pieces, size_t count, struct test_transcript *out,
                   void *user)
{
    struct wsi_hello hello = {0};

    (void)user;
    for (size_t i = 0; i < count; i++) {
        if (!wsi_hello_admit(&hello, pieces[i].data, pieces[i].len)) {
            test_transcript_add(out, "refused");
            return;
        }
    }
    test_transcript_add(out, "admitted");
}

#define ADMITS(literal)                                                                \
    test_all_cuts((const uint8_t *)(literal), sizeof(literal) - 1, "admitted", decode, \
                  NULL)
#define REFUSES(literal)                                                              \
    test_all_cuts((const uint8_t *)(literal), sizeof(literal) - 1, "refused", decode, \
                  NULL)

/* 16 is the handshake, 01 a ClientHello. */
#define LONGEST  "\x16\x03\x01\x00\x04\x01\x00\x40\x00"
#define TOO_LONG "\x16\x03\x01\x00\x04\x01\x00\x40\x01"
#define SHORT    "\x16\x03\x01\x00\x07\x01\x00\x00\x03xyz"
#define EMPTY    "\x16\x03\x01\x00\x04\x01\x00\x00\x00"
#define CCS      "\x14\x03\x03\x00\x01\x01"
#define SEALED   "\x17\x03\x03\x00\x04\x01\xff\xff\xff"

static void a_greeting_has_a_limit(void **state)
{
    (void)state;
    ADMITS(LONGEST);
    REFUSES(TOO_LONG);
    REFUSES("\x16\x03\x01\x40\x00\x01\xff\xff\xff and what follows");
    ADMITS("\x16\x03\x01\x00\x04\x0b\xff\xff\xff"); /* of another type */
}

static void a_greeting_may_lie_in_any_records(void **state)
{
    (void)state;
    REFUSES("\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x01\x00\x16\x03\x01\x00\x00"
            "\x16\x03\x01\x00\x02\x40\x01");
    REFUSES("\x15\x03\x01\x00\x02\x01\x70" TOO_LONG); /* behind a warning */
    ADMITS("\x16\x03\x01\x00\x06\x01\x00\x00\x04xy\x16\x03\x01\x00\x02\x01\xff");
}

static void the_second_greeting_has_it_too(void **state)
{
    (void)state;
    ADMITS(SHORT CCS SHORT SEALED);
    REFUSES(SHORT CCS TOO_LONG);
    REFUSES(EMPTY TOO_LONG);
    REFUSES("\x16\x03\x01\x00\x0b\x01\x00\x00\x03xyz\x01\x00\x40\x01");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_greeting_has_a_limit),
        TEST(a_greeting_may_lie_in_any_records),
        TEST(the_second_greeting_has_it_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
