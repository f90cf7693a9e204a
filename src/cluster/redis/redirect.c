/* SPDX-License-Identifier: MIT */
/*
 * Commands that are to be sent again: elsewhere (MOVED, ASK), with the scripts
 * (NOSCRIPT), or later (TRYAGAIN and the like). Meanwhile nothing new is sent, until all
 * that is under way was answered: so what is said to one room stays in its order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/redis/redis.h"

enum { LATER_MS = 50 };

static bool begins(const char *error, size_t len, const char *word)
{
    const size_t n = strlen(word);

    return len >= n && memcmp(error, word, n) == 0 && (len == n || error[n] == ' ');
}

/* "MOVED 3999 127.0.0.1:6381": without a host it is that of who says so. @return
 * (nullable) */
static struct wsi_peer *other(struct wsi_bus *bus, const struct wsi_wire *wire,
                              const char *error, unsigned *slot)
{
    const char *at = strchr(error, ' ');
    struct wsi_target_host host;
    const char *colon;
    char *end;
    unsigned long n;

    if (at == NULL)
        return NULL;
    n = strtoul(at + 1, &end, 10);
    if (end == at + 1 || *end != ' ' || n >= WSI_SLOTS)
        return NULL;
    at = end + 1;
    /* An address of IPv6 comes without brackets: the last colon is the port's. */
    colon = strrchr(at, ':');
    if (colon == NULL || colon - at >= (long)sizeof host.name)
        return NULL;
    host = wire->host;
    if (colon > at) {
        memcpy(host.name, at, (size_t)(colon - at));
        host.name[colon - at] = '\0';
    }
    *slot = (unsigned)n;
    n = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || n == 0 || n > 65535)
        return NULL;
    host.port = (uint16_t)n;
    return wsi_topology_add(bus, &host);
}

static void hold(struct wsi_op *op, uint64_t delay_ms)
{
    struct wsi_bus *bus = op->bus;
    const uint64_t at = wsi_bus_now(bus) + delay_ms;

    op->next = NULL;
    if (bus->again == NULL)
        bus->again = op;
    else
        bus->again_last->next = op;
    bus->again_last = op;
    bus->holds = true;
    if (bus->again_at_ms < at)
        bus->again_at_ms = at;
    wsi_bus_wake(bus, at);
}

static bool elsewhere(struct wsi_op *op, const char *error, bool once)
{
    unsigned slot = 0;
    struct wsi_peer *peer;

    if (!atomic_load(&op->bus->is_cluster) || op->redirects >= WSI_REDIRECTS_MAX)
        return false;
    peer = other(op->bus, op->wire, error, &slot);
    if (peer == NULL)
        return false;
    op->redirects++;
    if (once) {
        op->asked_for = peer;
        wsi_topology_open(op->bus, peer);
    } else {
        wsi_topology_move(op->bus, slot, peer);
    }
    hold(op, 0);
    return true;
}

bool wsi_redirect_take(struct wsi_op *op, const char *error, size_t len)
{
    static const char *const later[] = {"TRYAGAIN", "CLUSTERDOWN", "LOADING",
                                        "MASTERDOWN", "BUSY"};

    if (op->bus->closing == WSI_BUS_ENDING)
        return false;
    if (begins(error, len, "MOVED") || begins(error, len, "ASK"))
        return elsewhere(op, error, error[0] == 'A');
    if (begins(error, len, "NOSCRIPT")) {
        if (op->redirects++ >= WSI_REDIRECTS_MAX || op->wire->peer == NULL)
            return false;
        op->wire->peer->lacks_scripts = true;
        hold(op, 0);
        return true;
    }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        if (begins(error, len, later[i]) && op->deadline_ms > wsi_bus_now(op->bus)) {
            hold(op, LATER_MS);
            return true;
        }
    return false;
}

bool wsi_redirect_follow(struct wsi_bus *bus, const struct wsi_wire *wire,
                         const char *error, size_t len)
{
    struct wsi_peer *peer;
    unsigned slot = 0;

    if (!begins(error, len, "MOVED"))
        return false;
    peer = other(bus, wire, error, &slot);
    if (peer == NULL)
        return false;
    wsi_topology_move(bus, slot, peer);
    return true;
}

static bool is_quiet(const struct wsi_bus *bus)
{
    for (int i = 0; i < WSI_PEERS_MAX; i++)
        if (bus->peers[i].commands != NULL && bus->peers[i].commands->ready &&
            bus->peers[i].commands->waiting > 0)
            return false;
    return true;
}

/* The last one first, each before what is queued. */
static void release(struct wsi_bus *bus)
{
    struct wsi_op *op = bus->again, *reversed = NULL;

    bus->again = bus->again_last = NULL;
    bus->again_at_ms = 0;
    bus->holds = false;
    while (op != NULL) {
        struct wsi_op *next = op->next;

        op->next = reversed;
        reversed = op;
        op = next;
    }
    while (reversed != NULL) {
        op = reversed;
        reversed = op->next;
        wsi_topology_queue_first(op);
    }
    for (int i = 0; i < WSI_PEERS_MAX; i++)
        wsi_topology_flush(bus, &bus->peers[i]);
}

uint64_t wsi_redirect_check(struct wsi_bus *bus, uint64_t now_ms)
{
    if (!bus->holds)
        return UINT64_MAX;
    if (!is_quiet(bus))
        return UINT64_MAX;
    if (now_ms < bus->again_at_ms)
        return bus->again_at_ms;
    release(bus);
    return UINT64_MAX;
}
