/* SPDX-License-Identifier: MIT */
/*
 * A table of the addresses that have connections, by a hash with a seed: whoever may
 * choose among many addresses shall not choose a bucket. It never shrinks; it has as many
 * buckets as there once were addresses, at most.
 */
#include "conn/guests.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/opening.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "core/random.h"

enum { BUCKETS_MIN = 64, NETWORK_BYTES = 8 };

struct wsi_guest {
    struct wsi_guest *next;
    uint8_t key[sizeof(struct wsi_ip)];
    size_t count;
};

void wsi_guests_init(struct wsi_guests *guests)
{
    pthread_mutex_init(&guests->lock, NULL);
    guests->buckets = NULL;
    guests->bucket_count = guests->count = 0;
}

void wsi_guests_fini(struct wsi_guests *guests)
{
    assert(guests->count == 0);
    wsi_free(guests->buckets);
    pthread_mutex_destroy(&guests->lock);
}

static uint64_t word(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Multiply-shift over both halves; the upper bits are the good ones. */
static size_t bucket_of(const struct wsi_guests *guests, const uint8_t *key)
{
    uint64_t hash = (word(key) ^ guests->seed[0]) * UINT64_C(0x9e3779b97f4a7c15);

    hash ^= hash >> 32;
    hash = (hash + (word(key + 8) ^ guests->seed[1])) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(hash >> 32) & (guests->bucket_count - 1);
}

static void put(struct wsi_guests *guests, struct wsi_guest *guest)
{
    struct wsi_guest **bucket = &guests->buckets[bucket_of(guests, guest->key)];

    guest->next = *bucket;
    *bucket = guest;
}

/* @return 0; WSOCK_ENOMEM, and the table is as it was. */
static int grow(struct wsi_guests *guests)
{
    struct wsi_guest **old = guests->buckets;
    const size_t old_count = guests->bucket_count;
    const size_t count = old_count > 0 ? 2 * old_count : BUCKETS_MIN;
    struct wsi_guest **buckets = wsi_zalloc(count * sizeof(struct wsi_guest *));

    if (buckets == NULL)
        return WSOCK_ENOMEM;
    if (old == NULL)
        wsi_random_system(guests->seed, sizeof guests->seed);
    guests->buckets = buckets;
    guests->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct wsi_guest *guest = old[i];

            old[i] = guest->next;
            put(guests, guest);
        }
    }
    wsi_free(old);
    return 0;
}

/* @return (nullable) */
static struct wsi_guest *find(const struct wsi_guests *guests, const uint8_t *key)
{
    struct wsi_guest *guest = NULL;

    if (guests->buckets != NULL)
        guest = guests->buckets[bucket_of(guests, key)];
    while (guest != NULL && memcmp(guest->key, key, sizeof guest->key) != 0)
        guest = guest->next;
    return guest;
}

/* @return (nullable) */
static struct wsi_guest *add(struct wsi_guests *guests, const uint8_t *key)
{
    struct wsi_guest *guest;

    /* A table that cannot grow goes on with longer chains. */
    if (guests->count == guests->bucket_count && grow(guests) < 0 &&
        guests->buckets == NULL)
        return NULL;
    guest = wsi_zalloc(sizeof *guest);
    if (guest == NULL)
        return NULL;
    memcpy(guest->key, key, sizeof guest->key);
    put(guests, guest);
    guests->count++;
    return guest;
}

int wsi_guests_enter(struct wsi_guests *guests, struct wsi_guest **out,
                     const struct wsi_ip *ip, size_t limit)
{
    uint8_t key[sizeof ip->bytes] = {0};
    struct wsi_guest *guest;
    int r = 0;

    memcpy(key, ip->bytes, wsi_ip_is_v4(ip) ? sizeof key : (size_t)NETWORK_BYTES);
    pthread_mutex_lock(&guests->lock);
    guest = find(guests, key);
    if (guest == NULL)
        guest = add(guests, key);
    if (guest == NULL)
        r = WSOCK_ENOMEM;
    else if (guest->count >= limit)
        r = WSOCK_EAGAIN;
    else
        guest->count++;
    pthread_mutex_unlock(&guests->lock);
    if (r == 0)
        *out = guest;
    return r;
}

void wsi_guests_leave(struct wsi_guests *guests, struct wsi_guest *guest)
{
    struct wsi_guest **at;

    pthread_mutex_lock(&guests->lock);
    if (--guest->count == 0) {
        at = &guests->buckets[bucket_of(guests, guest->key)];
        while (*at != guest)
            at = &(*at)->next;
        *at = guest->next;
        guests->count--;
        wsi_free(guest);
    }
    pthread_mutex_unlock(&guests->lock);
}

/* ---- connections ---- */

static void refuse(struct wsock_conn *conn)
{
    static const char text[] = "too many connections from this address\n";

    wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
            "refused: max_connections_per_address is reached");
    /* Nobody is told over TLS that has not begun: that would cost a handshake. */
    if (conn->opening->phase != WSI_OPENING_HEAD && conn->opening->speaks_tls)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_REFUSED, WSOCK_BY_US, NULL);
    else
        wsi_reply(conn, 429, "text/plain", WSI_STR("Retry-After: 1\r\n"), text,
                  sizeof text - 1);
}

bool wsi_guests_admit(struct wsock_conn *conn, const struct wsi_ip *ip)
{
    struct wsi_service *service = wsi_service_of(conn->owner);
    const int64_t limit = wsi_option(&service->profile.options,
                                     WSI_OPT_MAX_CONNECTIONS_PER_ADDRESS);
    struct wsi_extra *extra;
    int r = WSOCK_ENOMEM;

    if (wsi_option_is_off(limit))
        return true;
    extra = wsi_conn_extra(conn);
    if (extra != NULL)
        r = wsi_guests_enter(&service->guests, &extra->guest, ip, (size_t)limit);
    if (r == WSOCK_EAGAIN)
        refuse(conn);
    else if (r < 0)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
    return r == 0;
}
