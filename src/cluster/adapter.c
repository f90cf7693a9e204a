/* SPDX-License-Identifier: MIT */
#include "cluster/adapter.h"

#include <stdarg.h>
#include <stdio.h>

#include <wsock/error.h>

#include "cluster/heap.h"
#include "core/alloc.h"
#include "core/str.h"

/* ---- for adapters ---- */

int wsi_adapter_parse(const char *url, char *why)
{
    const char *wrong = wsi_adapter_check_url(url);

    if (wrong == NULL)
        return 0;
    snprintf(why, WSI_BUS_WHY_SIZE, "the URL of the broker: %s", wrong);
    return WSOCK_EURL;
}

struct wsi_bus *wsi_adapter_alloc(size_t size, const struct wsi_bus_services *services,
                                  char *why)
{
    struct wsi_bus *bus;

    wsi_heap_use(services);
    bus = wsi_zalloc(size);
    if (bus == NULL)
        snprintf(why, WSI_BUS_WHY_SIZE, "out of memory");
    return bus;
}

/* SplitMix64. */
uint64_t wsi_adapter_draw(uint64_t *state, uint64_t below)
{
    uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return (x ^ x >> 31) % below;
}

void wsi_adapter_log(const struct wsi_bus_services *services, int level,
                     const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wsi_str_flatten_ascii(text);
    services->log(services->pool, level, text);
}

/* ---- the door ---- */

static int subscribe(struct wsi_bus *bus, const char *room)
{
    return wsi_subs_submit(bus, room, true);
}

static void unsubscribe(struct wsi_bus *bus, const char *room)
{
    (void)wsi_subs_submit(bus, room, false);
}

static int subscribe_all(struct wsi_bus *bus, bool on)
{
    return wsi_subs_submit(bus, NULL, on);
}

static int present(struct wsi_bus *bus, const char *room, const char *name,
                   struct wsi_bytes bytes)
{
    return wsi_presence_submit(bus, room, name, bytes, true);
}

static void absent(struct wsi_bus *bus, const char *room, const char *name)
{
    (void)wsi_presence_submit(bus, room, name, (struct wsi_bytes){NULL, 0}, false);
}

static int nodes(struct wsi_bus *bus, struct wsi_bus_receipt *receipt)
{
    return wsi_presence_list(bus, NULL, receipt);
}

static const struct wsi_bus_type type = {
    .version = WSI_BUS_VERSION,
    .schemes = wsi_adapter_schemes,
    .parse = wsi_adapter_parse,
    .open = wsi_bus_open,
    .close = wsi_bus_close,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .subscribe_all = subscribe_all,
    .publish = wsi_messages_publish,
    .append = wsi_messages_append,
    .load = wsi_load_submit,
    .present = present,
    .absent = absent,
    .present_list = wsi_presence_list,
    .describe = wsi_presence_describe,
    .nodes = nodes,
};

__attribute__((visibility("default"))) const struct wsi_bus_type *wsi_bus_plugin(void);

const struct wsi_bus_type *wsi_bus_plugin(void)
{
    return &type;
}
