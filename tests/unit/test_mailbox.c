/* SPDX-License-Identifier: MIT */
/* The mailbox: nothing lost, nothing twice, the order of each thread that posts. */
#include "test.h"

#include <pthread.h>
#include <sched.h>

#include "core/list.h"
#include "core/mailbox.h"

enum { THREADS = 4, LETTERS = 20000 };

struct letter {
    struct wsi_mail mail;
    unsigned thread, number;
};

static struct wsi_mailbox box;
static struct letter letters[THREADS][LETTERS];
static atomic_uint first_posts;

static void mail_comes_in_the_order_of_posting(void **state)
{
    struct wsi_mail a, b, c, *taken;

    (void)state;
    wsi_mailbox_init(&box);
    assert_true(wsi_mailbox_is_empty(&box));
    assert_null(wsi_mailbox_take(&box));
    assert_true(wsi_mailbox_post(&box, &a));
    assert_false(wsi_mailbox_post(&box, &b));
    assert_false(wsi_mailbox_is_empty(&box));
    taken = wsi_mailbox_take(&box);
    assert_ptr_equal(taken, &a);
    assert_ptr_equal(taken->next, &b);
    assert_null(taken->next->next);
    assert_true(wsi_mailbox_is_empty(&box));
    assert_true(wsi_mailbox_post(&box, &c)); /* empty again */
    assert_ptr_equal(wsi_mailbox_take(&box), &c);
    assert_null(c.next);
}

static void *post_all(void *user)
{
    struct letter *mine = user;

    for (unsigned i = 0; i < LETTERS; i++)
        if (wsi_mailbox_post(&box, &mine[i].mail))
            atomic_fetch_add(&first_posts, 1);
    return NULL;
}

static void posting_threads_lose_nothing_and_keep_their_order(void **state)
{
    pthread_t thread[THREADS];
    unsigned next[THREADS] = {0}, all = 0, takes = 0;

    (void)state;
    wsi_mailbox_init(&box);
    atomic_store(&first_posts, 0);
    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < LETTERS; i++)
            letters[t][i] = (struct letter){.thread = t, .number = i};
        assert_int_equal(pthread_create(&thread[t], NULL, post_all, letters[t]), 0);
    }
    while (all < THREADS * LETTERS) {
        struct wsi_mail *mail = wsi_mailbox_take(&box);

        takes += mail != NULL;
        if (mail == NULL)
            sched_yield();
        for (; mail != NULL; mail = mail->next, all++) {
            const struct letter *letter = WSI_CONTAINER_OF(mail, struct letter, mail);

            assert_int_equal(letter->number, next[letter->thread]++);
        }
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    assert_true(wsi_mailbox_is_empty(&box));
    /* Exactly one of those whose mail was taken together was told to wake the taker. */
    assert_int_equal(atomic_load(&first_posts), takes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mail_comes_in_the_order_of_posting),
        TEST(posting_threads_lose_nothing_and_keep_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
