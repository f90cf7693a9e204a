/* SPDX-License-Identifier: MIT */
/* Whose a queue is: what wakes its thread no other one may take away. */
#include "test.h"

#include <poll.h>
#include <pthread.h>

#include <wsock/error.h>

#include "conn/queue.h"

struct scene {
    struct wsi_pool pool;
    struct wsock_queue *queue;
    struct wsi_mail call;
    int calls;
};

static void released(struct wsi_pool *pool)
{
    (void)pool;
}

static void begin(struct scene *scene)
{
    *scene = (struct scene){.calls = 0};
    assert_int_equal(wsi_pool_init(&scene->pool, released), 0);
    assert_int_equal(wsi_queue_new(&scene->queue, &scene->pool), 0);
}

static void end(struct scene *scene)
{
    wsi_queue_unref(scene->queue);
    wsi_pool_fini(&scene->pool);
}

static void run_call(struct wsi_mail *mail)
{
    struct scene *scene = WSI_CONTAINER_OF(mail, struct scene, call);

    scene->calls += wsi_queue_calls(scene->queue);
}

static void call(struct scene *scene)
{
    scene->call.run = run_call;
    wsi_queue_call(scene->queue, &scene->call);
}

static bool is_readable(const struct scene *scene)
{
    struct pollfd ready = {.fd = scene->queue->fd, .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

static void on_thread(void *(*main)(void *), struct scene *scene)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, main, scene), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *dispatch_and_arm(void *user)
{
    struct scene *scene = user;

    if (wsi_queue_dispatch_now(scene->queue) == 0 && wsi_queue_arm(scene->queue) == 0)
        return NULL;
    scene->calls = -1;
    return NULL;
}

static void *wait_a_moment(void *user)
{
    struct scene *scene = user;

    if (wsi_queue_wait(scene->queue, 1) != 0)
        scene->calls = -1;
    return NULL;
}

static void queue_is_of_the_thread_that_made_it(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene);
    assert_true(wsi_queue_is_own(scene.queue));
    assert_int_equal(wsi_queue_arm_own(scene.queue), 0);
    call(&scene);
    assert_true(is_readable(&scene));
    assert_int_equal(wsi_queue_dispatch_own(scene.queue), 1);
    assert_int_equal(wsi_queue_arm_own(scene.queue), 0);
    assert_false(is_readable(&scene));
    assert_int_equal(scene.calls, 1);
    end(&scene);
}

/* Who found the queue its own, and comes to it when it is not any more. */
static void who_comes_late_leaves_what_wakes_its_host(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene);
    on_thread(dispatch_and_arm, &scene);
    call(&scene);
    assert_false(wsi_queue_is_own(scene.queue));
    assert_int_equal(wsi_queue_dispatch_own(scene.queue), WSOCK_EBUSY);
    assert_int_equal(wsi_queue_arm_own(scene.queue), WSOCK_EBUSY);
    assert_false(wsi_queue_is_own(scene.queue));
    assert_true(is_readable(&scene));
    assert_int_equal(scene.calls, 0);
    assert_int_equal(wsi_queue_dispatch_now(scene.queue), 1);
    assert_true(wsi_queue_is_own(scene.queue));
    assert_int_equal(wsi_queue_arm_own(scene.queue), 0);
    end(&scene);
}

static void who_waits_for_a_queue_has_it(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene);
    on_thread(wait_a_moment, &scene);
    assert_false(wsi_queue_is_own(scene.queue));
    assert_int_equal(wsi_queue_wait(scene.queue, 0), 0);
    assert_true(wsi_queue_is_own(scene.queue));
    assert_int_equal(scene.calls, 0);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(queue_is_of_the_thread_that_made_it),
        TEST(who_comes_late_leaves_what_wakes_its_host),
        TEST(who_waits_for_a_queue_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
