/* SPDX-License-Identifier: MIT */
/* The ring: records of any size, in order and in one piece, wherever they come to lie. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring.h"

enum { SIZE = 1024, LEN_MAX = 200, RECORDS = 200000 };

struct record {
    struct wsi_ring_head head;
    uint32_t number;
    uint32_t len;
    uint8_t data[];
};

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static size_t behind_head(size_t len)
{
    return sizeof(struct record) - sizeof(struct wsi_ring_head) + len;
}

/* @return false when there is no room. */
static bool put(struct wsi_ring *ring, uint32_t number, uint32_t len)
{
    struct record *record;

    if (!wsi_ring_has_room(ring, wsi_ring_record_size(behind_head(len))))
        return false;
    record = (struct record *)(void *)wsi_ring_reserve(ring, behind_head(len));
    record->number = number;
    record->len = len;
    memset(record->data, (int)(number & 0xff), len);
    return true;
}

static bool is_whole(const struct record *record, uint32_t number, uint32_t len)
{
    for (uint32_t i = 0; i < record->len; i++)
        if (record->data[i] != (number & 0xff))
            return false;
    return record->number == number && record->len == len && record->head.size % 8 == 0;
}

static struct record *peek(struct wsi_ring *ring, uint64_t limit)
{
    return (struct record *)(void *)wsi_ring_peek(ring, limit);
}

static void what_was_not_published_is_not_seen(void **state)
{
    struct wsi_ring ring;
    uint64_t before;

    (void)state;
    assert_true(wsi_ring_init(&ring, SIZE));
    assert_true(put(&ring, 1, 10));
    assert_int_equal(wsi_ring_published(&ring), 0);
    assert_null(peek(&ring, wsi_ring_published(&ring)));
    wsi_ring_publish(&ring);
    before = wsi_ring_published(&ring);
    assert_true(put(&ring, 2, 10));
    wsi_ring_publish(&ring);
    assert_true(is_whole(peek(&ring, before), 1, 10));
    assert_true(is_whole(peek(&ring, before), 1, 10)); /* looking takes nothing */
    wsi_ring_take(&ring, &peek(&ring, before)->head);
    assert_null(peek(&ring, before)); /* the second is behind that position */
    assert_true(is_whole(peek(&ring, wsi_ring_published(&ring)), 2, 10));
    wsi_ring_fini(&ring);
}

/* Two of the largest always fit into an empty one, wherever it stands. */
static void an_empty_ring_has_room_at_every_position(void **state)
{
    const uint32_t len = SIZE / 2 - sizeof(struct record);
    struct wsi_ring ring;

    (void)state;
    assert_true(wsi_ring_init(&ring, SIZE));
    for (uint32_t n = 0; n < 3 * SIZE / 8; n++) {
        assert_true(put(&ring, n, 0)); /* a step of 16 bytes */
        assert_true(put(&ring, n, len) || wsi_ring_taken(&ring) != 0 || n == 0);
        wsi_ring_publish(&ring);
        while (peek(&ring, wsi_ring_published(&ring)) != NULL)
            wsi_ring_take(&ring, &peek(&ring, wsi_ring_published(&ring))->head);
        assert_true(wsi_ring_has_room(&ring, SIZE / 2));
        assert_int_equal(wsi_ring_taken(&ring), wsi_ring_published(&ring));
    }
    wsi_ring_fini(&ring);
}

/* Against a queue of numbers and lengths. */
static void records_come_out_as_they_went_in(void **state)
{
    static uint32_t lens[RECORDS];
    uint32_t seed = 1, in = 0, out = 0, refused = 0;
    struct wsi_ring ring;

    (void)state;
    assert_true(wsi_ring_init(&ring, SIZE));
    while (out < RECORDS) {
        if (in < RECORDS && draw(&seed) % 2 == 0) {
            lens[in] = draw(&seed) % (draw(&seed) % 4 == 0 ? LEN_MAX : 9);
            if (put(&ring, in, lens[in]))
                in++;
            else
                refused++;
            wsi_ring_publish(&ring);
        } else {
            const struct record *record = peek(&ring, wsi_ring_published(&ring));

            assert_true((record == NULL) == (in == out));
            if (record == NULL)
                continue;
            assert_true(is_whole(record, out, lens[out]));
            wsi_ring_take(&ring, &record->head);
            out++;
        }
        assert_true(ring.written - wsi_ring_taken(&ring) <= SIZE);
    }
    assert_in_range(refused, 100, RECORDS);
    wsi_ring_fini(&ring);
}

static uint32_t len_of(uint32_t number)
{
    return number * 2654435761u >> 16 & (number % 16 == 0 ? 127 : 15);
}

static void *write_all(void *user)
{
    struct wsi_ring *ring = user;

    for (uint32_t n = 0; n < RECORDS; n++) {
        while (!put(ring, n, len_of(n)))
            sched_yield();
        wsi_ring_publish(ring);
    }
    return NULL;
}

static void one_thread_writes_what_another_reads(void **state)
{
    struct wsi_ring ring;
    pthread_t writer;
    uint32_t wrong = 0;

    (void)state;
    assert_true(wsi_ring_init(&ring, SIZE));
    pthread_create(&writer, NULL, write_all, &ring);
    for (uint32_t n = 0; n < RECORDS;) {
        const struct record *record = peek(&ring, wsi_ring_published(&ring));

        if (record == NULL) {
            sched_yield();
            continue;
        }
        wrong += !is_whole(record, n, len_of(n));
        wsi_ring_take(&ring, &record->head);
        n++;
    }
    pthread_join(writer, NULL);
    assert_int_equal(wrong, 0);
    wsi_ring_fini(&ring);
}

static void a_ring_needs_memory(void **state)
{
    struct wsi_ring ring;

    (void)state;
    test_fail_allocation(1, 0);
    assert_false(wsi_ring_init(&ring, SIZE));
    test_stop_failing();
    wsi_ring_fini(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_published_is_not_seen),
        TEST(an_empty_ring_has_room_at_every_position),
        TEST(records_come_out_as_they_went_in),
        TEST(one_thread_writes_what_another_reads),
        TEST(a_ring_needs_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
