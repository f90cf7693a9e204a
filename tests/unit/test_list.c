/* SPDX-License-Identifier: MIT */
/* Intrusive lists, above all what may happen to them while they are walked. */
#include "test.h"

#include "core/alloc.h"
#include "core/list.h"

struct item {
    int number;
    struct wsi_list node;
};

static struct wsi_list list;
static struct item items[4];

static void fill(void)
{
    wsi_list_init(&list);
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        wsi_list_append(&list, &items[i].node);
    }
}

static int number_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct item, node)->number;
}

/* The items as decimal digits, forwards and backwards the same. */
static int content(void)
{
    int digits = 0, backwards = 0, place = 1;

    for (struct wsi_list *node = list.next; node != &list; node = node->next)
        digits = digits * 10 + number_of(node) + 1;
    for (struct wsi_list *node = list.prev; node != &list; node = node->prev) {
        backwards += place * (number_of(node) + 1);
        place *= 10;
    }
    assert_int_equal(digits, backwards);
    return digits;
}

static void appended_nodes_stay_in_order(void **state)
{
    (void)state;
    fill();
    assert_int_equal(content(), 1234);
    assert_false(wsi_list_is_empty(&list));
}

static void node_may_be_removed_without_its_list_and_twice(void **state)
{
    (void)state;
    fill();
    wsi_list_remove(&items[1].node);
    assert_true(wsi_list_is_empty(&items[1].node));
    wsi_list_remove(&items[1].node);
    assert_int_equal(content(), 134);
    wsi_list_append(&list, &items[1].node);
    assert_int_equal(content(), 1342);
}

static void pop_takes_the_first_until_none_is_left(void **state)
{
    (void)state;
    fill();
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(wsi_list_pop(&list), &items[i].node);
    assert_null(wsi_list_pop(&list));
    assert_true(wsi_list_is_empty(&list));
}

static void walk_survives_removal_of_the_current_node(void **state)
{
    int seen = 0;

    (void)state;
    fill();
    WSI_LIST_EACH(node, &list)
    {
        seen = seen * 10 + number_of(node) + 1;
        wsi_list_remove(node);
    }
    assert_int_equal(seen, 1234);
    assert_int_equal(content(), 0);
}

static void walk_survives_freeing_of_the_current_node(void **state)
{
    int seen = 0;

    (void)state;
    wsi_list_init(&list);
    for (int i = 0; i < 3; i++) {
        struct item *item = wsi_alloc(sizeof *item);

        assert_non_null(item);
        wsi_list_append(&list, &item->node);
    }
    WSI_LIST_EACH(node, &list)
    {
        wsi_list_remove(node);
        wsi_free(WSI_CONTAINER_OF(node, struct item, node));
        seen++;
    }
    assert_int_equal(seen, 3);
}

static void move_takes_everything(void **state)
{
    struct wsi_list other;

    (void)state;
    fill();
    wsi_list_move(&other, &list);
    assert_true(wsi_list_is_empty(&list));
    assert_ptr_equal(other.next, &items[0].node);
    assert_ptr_equal(other.prev, &items[3].node);
    assert_ptr_equal(items[0].node.prev, &other);
    assert_ptr_equal(items[3].node.next, &other);
    wsi_list_move(&list, &other);
    assert_int_equal(content(), 1234);
    wsi_list_init(&other);
    wsi_list_move(&list, &other);
    assert_int_equal(content(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(appended_nodes_stay_in_order),
        TEST(node_may_be_removed_without_its_list_and_twice),
        TEST(pop_takes_the_first_until_none_is_left),
        TEST(walk_survives_removal_of_the_current_node),
        TEST(walk_survives_freeing_of_the_current_node),
        TEST(move_takes_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
