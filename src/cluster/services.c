/* SPDX-License-Identifier: MIT */
/* The table of services. */
#include "cluster/services.h"

#include "cluster/link.h"
#include "conn/worker.h"
#include "core/alloc.h"

static void draw(void *pool, void *out, size_t len)
{
    wsi_pool_random(pool, out, len);
}

static uint64_t now_ms(void *pool)
{
    return wsi_clock_us(((struct wsi_pool *)pool)->clock) / 1000;
}

static void write_log(void *pool, int level, const char *text)
{
    wsi_log(&((struct wsi_pool *)pool)->log, level, "cluster", "%s", text);
}

void wsi_services_init(struct wsi_bus_services *services, struct wsi_pool *pool)
{
    *services = (struct wsi_bus_services){
        .pool = pool,
        .alloc = wsi_alloc,
        .realloc = wsi_realloc,
        .free = wsi_free,
        .random = draw,
        .now_ms = now_ms,
        .log = write_log,
        .tls_new = wsi_link_tls_new,
        .tls_free = wsi_link_tls_free,
        .link_open = wsi_link_open,
        .link_send = wsi_link_send,
        .link_close = wsi_link_close,
        .link_post = wsi_link_post,
        .link_timer = wsi_link_timer,
    };
}
