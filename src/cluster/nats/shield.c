/* SPDX-License-Identifier: MIT */
/*
 * Puts the guard before libnats, which offers no place for one: it reads its sockets
 * itself. But it calls its own parser by a name that others may define before it, and
 * this module does: it is loaded with libnats behind it. Where the program had loaded
 * libnats already that is of no effect, and the log says so.
 *
 * libnats parses what comes on a connection in one thread, that ends with it. So the
 * state of the guard is the thread's.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "cluster/nats/guard.h"
#include "cluster/nats/nats.h"
#include "core/alloc.h"

typedef natsStatus parse_fn(natsConnection *nc, char *data, int len);

__attribute__((visibility("default"))) parse_fn natsParser_Parse;

static parse_fn *parse;
static pthread_key_t key;
static bool has_key;
static atomic_bool used;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const natsConnection *refused; /* the last one; of another it may be the address */
static const char *refused_why;

static void free_guard(void *guard)
{
    wsi_free(guard);
}

/* That of libnats itself: it is looked for from there on. */
static parse_fn *find_parse(void)
{
    parse_fn *found = NULL;
    natsStatus (*const one)(int64_t) = nats_Open;
    Dl_info info;
    void *library, *address;

    memcpy(&address, &one, sizeof address);
    if (dladdr(address, &info) == 0)
        return NULL;
    library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    address = library != NULL ? dlsym(library, "natsParser_Parse") : NULL;
    memcpy(&found, &address, sizeof address); /* as POSIX says; C knows no other way */
    return found != natsParser_Parse ? found : NULL;
}

bool wsi_shield_init(void)
{
    parse = find_parse();
    has_key = pthread_key_create(&key, free_guard) == 0;
    return has_key;
}

bool wsi_shield_is_used(void)
{
    return atomic_load(&used);
}

const char *wsi_shield_refusal(const natsConnection *nc)
{
    const char *why;

    pthread_mutex_lock(&lock);
    why = refused == nc ? refused_why : NULL;
    pthread_mutex_unlock(&lock);
    return why;
}

static natsStatus refuse(const natsConnection *nc, const char *why)
{
    pthread_mutex_lock(&lock);
    refused = nc;
    refused_why = why;
    pthread_mutex_unlock(&lock);
    return NATS_PROTOCOL_ERROR;
}

static struct wsi_nats_guard *guard_of_thread(void)
{
    struct wsi_nats_guard *guard = pthread_getspecific(key);

    if (guard != NULL)
        return guard;
    guard = wsi_zalloc(sizeof *guard);
    if (guard != NULL && pthread_setspecific(key, guard) != 0) {
        wsi_free(guard);
        return NULL;
    }
    return guard;
}

natsStatus natsParser_Parse(natsConnection *nc, char *data, int len)
{
    struct wsi_nats_guard *guard;
    const char *why;

    if (parse == NULL || !has_key)
        return NATS_NOT_INITIALIZED;
    guard = guard_of_thread();
    if (guard == NULL)
        return refuse(nc, "out of memory for what it sends");
    atomic_store_explicit(&used, true, memory_order_relaxed);
    why = wsi_nats_guard_pass(guard, data, (size_t)len);
    return why == NULL ? parse(nc, data, len) : refuse(nc, why);
}
