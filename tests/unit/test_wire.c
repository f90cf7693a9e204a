/* SPDX-License-Identifier: MIT */
/* What nodes say to each other: written, read again, and refused. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/types.h>

#include "room/wire.h"

static uint8_t buffer[1024];
static size_t size;

static void write_wire(const struct wsi_wire *wire)
{
    size = wsi_wire_size(wire);
    assert_in_range(size, WSI_WIRE_HEAD_SIZE, sizeof buffer);
    wsi_wire_write(buffer, wire);
}

/* From memory that ends where the bytes do. */
static int read_wire(struct wsi_wire *out, size_t len)
{
    uint8_t *exact = malloc(len > 0 ? len : 1);
    int r;

    assert_non_null(exact);
    memcpy(exact, buffer, len);
    r = wsi_wire_read(out, (struct wsi_bytes){exact, len});
    free(exact);
    return r;
}

static int read_here(struct wsi_wire *out)
{
    return wsi_wire_read(out, (struct wsi_bytes){buffer, size});
}

static const struct wsi_wire full = {
    .kind = WSI_WIRE_MESSAGE,
    .node = {1, 2, 3, 16},
    .seq = 0x0102030405060708,
    .type = WSOCK_TEXT,
    .is_json = true,
    .is_uncompressed = true,
    .data = {"{}", 2},
    .key = "k",
    .event = "move",
    .from = "ann",
    .except_identity = "bob",
    .room = "a.b",
};

static void what_is_written_reads_the_same(void **state)
{
    struct wsi_wire again;

    (void)state;
    write_wire(&full);
    assert_int_equal(read_here(&again), 0);
    assert_int_equal(again.kind, full.kind);
    assert_memory_equal(again.node, full.node, sizeof full.node);
    assert_true(again.seq == full.seq && again.type == WSOCK_TEXT && again.is_json &&
                again.is_uncompressed);
    assert_int_equal(again.data.len, 2);
    assert_memory_equal(again.data.data, "{}", 2);
    assert_string_equal(again.key, "k");
    assert_string_equal(again.event, "move");
    assert_string_equal(again.from, "ann");
    assert_string_equal(again.except_identity, "bob");
    assert_string_equal(again.room, "a.b");
    assert_null(again.identity);
    assert_null(again.reason);
}

static void all_kinds_read_the_same(void **state)
{
    const struct wsi_wire away = {.kind = WSI_WIRE_DISCONNECT,
                                  .type = WSOCK_TEXT,
                                  .identity = "ann",
                                  .code = 4001,
                                  .reason = "go"};
    const struct wsi_wire came = {.kind = WSI_WIRE_JOINED,
                                  .type = WSOCK_TEXT,
                                  .identity = "ann",
                                  .info = {"\0\xff", 2}};
    const struct wsi_wire empty = {.kind = WSI_WIRE_MESSAGE, .type = WSOCK_BINARY};
    struct wsi_wire again;

    (void)state;
    write_wire(&away);
    assert_int_equal(read_here(&again), 0);
    assert_int_equal(again.code, 4001);
    assert_string_equal(again.reason, "go");
    write_wire(&came);
    assert_int_equal(read_here(&again), 0);
    assert_int_equal(again.info.len, 2);
    write_wire(&empty);
    assert_int_equal(size, WSI_WIRE_HEAD_SIZE);
    assert_int_equal(read_here(&again), 0);
    assert_true(again.type == WSOCK_BINARY && again.data.len == 0);
}

static void every_part_of_it_is_refused(void **state)
{
    struct wsi_wire again;
    int whole = 0;

    (void)state;
    write_wire(&full);
    for (size_t len = 0; len < size; len++)
        whole += read_wire(&again, len) == 0;
    assert_int_equal(whole, 5); /* where a field ends, behind the data */
}

static void a_field_that_is_not_known_is_passed_over(void **state)
{
    struct wsi_wire again;

    (void)state;
    write_wire(&full);
    memcpy(buffer + size, "\xf0\0\0\0\2xy", 7);
    size += 7;
    assert_int_equal(read_here(&again), 0);
    assert_string_equal(again.key, "k");
    memcpy(buffer + size, "\2\0\0\0\2y", 7); /* another key */
    size += 7;
    assert_int_equal(read_here(&again), WSOCK_EINVAL);
}

static void another_version_is_told_from_garbage(void **state)
{
    struct wsi_wire again;

    (void)state;
    write_wire(&full);
    buffer[0] = WSI_WIRE_VERSION + 1;
    assert_int_equal(read_here(&again), WSOCK_ENOTSUP);
    buffer[0] = WSI_WIRE_VERSION;
    buffer[1] = WSI_WIRE_KINDS;
    assert_int_equal(read_here(&again), WSOCK_ENOTSUP);
    buffer[1] = 0;
    assert_int_equal(read_here(&again), WSOCK_ENOTSUP);
    assert_int_equal(read_wire(&again, 0), WSOCK_EINVAL);
}

/* What one byte turns into something that must not arrive. */
static int read_with(const struct wsi_wire *wire, const char *find, char byte)
{
    struct wsi_wire again;
    uint8_t *at;

    write_wire(wire);
    at = memmem(buffer, size, find, strlen(find));
    assert_non_null(at);
    *at = (uint8_t)byte;
    return read_here(&again);
}

static void texts_must_be_what_they_are_here(void **state)
{
    struct wsi_wire text = full;

    (void)state;
    assert_int_equal(read_with(&full, "move", 'M'), 0);
    assert_int_equal(read_with(&full, "move", '\n'), WSOCK_EINVAL);
    assert_int_equal(read_with(&full, "move", '\0'), WSOCK_EINVAL);
    assert_int_equal(read_with(&full, "ann", '\xff'), WSOCK_EINVAL);
    assert_int_equal(read_with(&full, "ann", '\x7f'), WSOCK_EINVAL);
    assert_int_equal(read_with(&full, "a.b", '.'), WSOCK_EINVAL);
    assert_int_equal(read_with(&full, "{}", '\xff'), WSOCK_EINVAL);
    text.type = WSOCK_BINARY;
    assert_int_equal(read_with(&text, "move", 'M'), WSOCK_EINVAL); /* JSON is text */
    text.is_json = false;
    assert_int_equal(read_with(&text, "{}", '\xff'), 0);
}

static void what_a_kind_needs_must_be_there(void **state)
{
    struct wsi_wire again, wire = {.type = WSOCK_TEXT};

    (void)state;
    for (int kind = WSI_WIRE_MESSAGE; kind < WSI_WIRE_KINDS; kind++) {
        const bool may = kind == WSI_WIRE_MESSAGE || kind == WSI_WIRE_CLOSE ||
                         kind == WSI_WIRE_RECOUNT;

        wire.kind = (enum wsi_wire_kind)kind;
        write_wire(&wire);
        assert_int_equal(read_here(&again), may ? 0 : WSOCK_EINVAL);
    }
    wire.kind = WSI_WIRE_DISCONNECT;
    wire.identity = "ann";
    write_wire(&wire);
    assert_int_equal(read_here(&again), WSOCK_EINVAL); /* without a code */
}

/* What it comes to has bounds of its own. */
static void a_disconnection_must_be_a_close_frame(void **state)
{
    static const unsigned bad[] = {999, 1004, 1006, 1015, 5000, 65535};
    char reason[125] = "";
    struct wsi_wire again, wire = {.kind = WSI_WIRE_DISCONNECT,
                                   .type = WSOCK_TEXT,
                                   .identity = "ann",
                                   .code = 4001,
                                   .reason = reason};

    (void)state;
    memset(reason, 'x', 123);
    write_wire(&wire);
    assert_int_equal(read_here(&again), 0);
    reason[123] = 'x';
    write_wire(&wire);
    assert_int_equal(read_here(&again), WSOCK_EINVAL);
    wire.code = 1005;
    reason[1] = '\0';
    write_wire(&wire);
    assert_int_equal(read_here(&again), WSOCK_EINVAL);
    wire.reason = NULL;
    write_wire(&wire);
    assert_int_equal(read_here(&again), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        wire.code = bad[i];
        write_wire(&wire);
        assert_int_equal(read_here(&again), WSOCK_EINVAL);
    }
}

static void what_is_too_long_is_not_written(void **state)
{
    char text[258];
    struct wsi_wire wire = full;

    (void)state;
    memset(text, 'x', sizeof text);
    text[255] = '\0';
    wire.key = text;
    assert_int_not_equal(wsi_wire_size(&wire), 0);
    text[255] = 'x';
    text[256] = '\0';
    assert_int_equal(wsi_wire_size(&wire), 0);
    wire.key = NULL;
    wire.event = text + 256 - 64;
    assert_int_not_equal(wsi_wire_size(&wire), 0);
    wire.event--;
    assert_int_equal(wsi_wire_size(&wire), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_reads_the_same),
        TEST(all_kinds_read_the_same),
        TEST(every_part_of_it_is_refused),
        TEST(a_field_that_is_not_known_is_passed_over),
        TEST(another_version_is_told_from_garbage),
        TEST(texts_must_be_what_they_are_here),
        TEST(what_a_kind_needs_must_be_there),
        TEST(a_disconnection_must_be_a_close_frame),
        TEST(what_is_too_long_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
