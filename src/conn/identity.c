/* SPDX-License-Identifier: MIT */
/* Identities of connections, and the index of a server. */
#include "conn/identity.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/member.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "proto/utf8.h"

/* All open connections of one identity. */
struct wsi_person {
    struct wsi_table_node node; /* in the index; under its lock, as what follows */
    struct wsi_list bearers;    /* those that are open */
    size_t count;               /* of them */
    size_t refs;                /* bearers, also those that are not open yet */
    char text[];
};

/* A connection's part. */
struct wsi_bearer {
    struct wsi_membership membership; /* while it is in the index */
    struct wsock_conn *conn;
    struct wsi_person *person; /* (nullable) until the connection leaves the index */
    struct wsi_list node;      /* person->bearers */
    bool entered;              /* under worker->lock */
    char text[];
};

void wsi_identities_init(struct wsi_identities *identities)
{
    pthread_mutex_init(&identities->lock, NULL);
    identities->persons = (struct wsi_table){0};
    wsi_hash_key_init(&identities->key);
}

void wsi_identities_fini(struct wsi_identities *identities)
{
    assert(identities->persons.count == 0);
    wsi_table_fini(&identities->persons);
    pthread_mutex_destroy(&identities->lock);
}

static struct wsi_identities *index_of(const struct wsock_conn *conn)
{
    return &wsi_service_of(conn->owner)->identities;
}

static struct wsi_bearer *bearer_of(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL ? atomic_load_explicit(&extra->bearer, memory_order_acquire)
                         : NULL;
}

/* ---- persons ---- */

/* With the lock held. @return (nullable) */
static struct wsi_person *find_person(const struct wsi_identities *identities,
                                      const char *text, uint64_t hash)
{
    struct wsi_table_node *node = wsi_table_find(&identities->persons, hash);

    while (node != NULL) {
        struct wsi_person *person = WSI_CONTAINER_OF(node, struct wsi_person, node);

        if (strcmp(person->text, text) == 0)
            return person;
        node = wsi_table_find_next(node);
    }
    return NULL;
}

/* With the lock held. @return (nullable) NULL without memory. */
static struct wsi_person *make_person(struct wsi_identities *identities, const char *text,
                                      uint64_t hash)
{
    const size_t size = strlen(text) + 1;
    struct wsi_person *person = wsi_zalloc(sizeof *person + size);

    if (person == NULL)
        return NULL;
    memcpy(person->text, text, size);
    wsi_list_init(&person->bearers);
    if (wsi_table_add(&identities->persons, &person->node, hash) < 0) {
        wsi_free(person);
        return NULL;
    }
    return person;
}

static uint64_t hash_of(const struct wsi_identities *identities, const char *text)
{
    return wsi_hash(&identities->key, text, strlen(text));
}

/* @return (nullable) with one reference more. */
static struct wsi_person *take_person(struct wsi_identities *identities, const char *text)
{
    const uint64_t hash = hash_of(identities, text);
    struct wsi_person *person;

    pthread_mutex_lock(&identities->lock);
    person = find_person(identities, text, hash);
    if (person == NULL)
        person = make_person(identities, text, hash);
    if (person != NULL)
        person->refs++;
    pthread_mutex_unlock(&identities->lock);
    return person;
}

static void drop_person(struct wsi_identities *identities, struct wsi_bearer *bearer)
{
    struct wsi_person *person = bearer->person;

    if (person == NULL)
        return;
    pthread_mutex_lock(&identities->lock);
    if (!wsi_list_is_empty(&bearer->node)) {
        wsi_list_remove(&bearer->node);
        person->count--;
    }
    bearer->person = NULL;
    if (--person->refs == 0) {
        wsi_table_remove(&identities->persons, &person->node);
        wsi_free(person);
    }
    pthread_mutex_unlock(&identities->lock);
}

size_t wsi_identities_conns(struct wsi_identities *identities, struct wsock_conn **out,
                            size_t max, const char *text)
{
    const uint64_t hash = hash_of(identities, text);
    const struct wsi_person *person;
    size_t written = 0, count;

    pthread_mutex_lock(&identities->lock);
    person = find_person(identities, text, hash);
    count = person != NULL ? person->count : 0;
    if (count > 0) {
        WSI_LIST_EACH(node, &person->bearers)
        {
            if (written == max)
                break;
            out[written++] = wsock_conn_ref(
                WSI_CONTAINER_OF(node, struct wsi_bearer, node)->conn);
        }
    }
    pthread_mutex_unlock(&identities->lock);
    return count;
}

/* ---- connections ---- */

bool wsi_identity_is_valid(const char *text)
{
    const size_t len = strnlen(text, WSI_IDENTITY_MAX + 1);

    if (len == 0 || len > WSI_IDENTITY_MAX || !wsi_utf8_is_valid(text, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static void leave_index(struct wsi_membership *membership)
{
    struct wsi_bearer *bearer = WSI_CONTAINER_OF(membership, struct wsi_bearer,
                                                 membership);

    drop_person(index_of(bearer->conn), bearer);
}

/* With the worker's lock held; the connection is open. */
static void enter(struct wsi_bearer *bearer)
{
    struct wsi_identities *identities = index_of(bearer->conn);

    if (bearer->entered)
        return;
    bearer->entered = true;
    wsi_list_append(&bearer->conn->rooms, &bearer->membership.node);
    pthread_mutex_lock(&identities->lock);
    wsi_list_append(&bearer->person->bearers, &bearer->node);
    bearer->person->count++;
    pthread_mutex_unlock(&identities->lock);
}

void wsi_conn_enter_index(struct wsock_conn *conn)
{
    struct wsi_bearer *bearer;

    if (wsi_extra_of(conn) == NULL)
        return;
    pthread_mutex_lock(&conn->worker->lock);
    bearer = bearer_of(conn);
    if (bearer != NULL && wsi_conn_state(conn) == WSI_CONN_OPEN)
        enter(bearer);
    pthread_mutex_unlock(&conn->worker->lock);
}

static void free_bearer(struct wsi_identities *identities, struct wsi_bearer *bearer)
{
    if (bearer == NULL)
        return;
    drop_person(identities, bearer);
    wsi_free(bearer);
}

void wsi_conn_free_identity(struct wsock_conn *conn)
{
    struct wsi_bearer *bearer = bearer_of(conn);

    if (bearer != NULL)
        free_bearer(index_of(conn), bearer);
}

static struct wsi_bearer *new_bearer(struct wsock_conn *conn, const char *text)
{
    const size_t size = strlen(text) + 1;
    struct wsi_bearer *bearer = wsi_zalloc(sizeof *bearer + size);

    if (bearer == NULL)
        return NULL;
    memcpy(bearer->text, text, size);
    bearer->conn = conn;
    bearer->membership.leave = leave_index;
    wsi_list_init(&bearer->membership.node);
    wsi_list_init(&bearer->node);
    bearer->person = take_person(index_of(conn), text);
    if (bearer->person == NULL) {
        wsi_free(bearer);
        return NULL;
    }
    return bearer;
}

/* With the worker's lock held. */
static int set(struct wsi_extra *extra, struct wsi_bearer *bearer)
{
    const enum wsi_conn_state state = wsi_conn_state(bearer->conn);

    if (state > WSI_CONN_OPEN)
        return WSOCK_ECLOSED;
    if (atomic_load(&extra->bearer) != NULL)
        return WSOCK_EEXIST;
    atomic_store_explicit(&extra->bearer, bearer, memory_order_release);
    if (state == WSI_CONN_OPEN)
        enter(bearer);
    return 0;
}

int wsi_conn_set_identity(struct wsock_conn *conn, const char *text)
{
    struct wsi_bearer *bearer;
    struct wsi_extra *extra;
    int r;

    if (!wsi_identity_is_valid(text))
        return WSOCK_EINVAL;
    if (wsi_conn_role(conn) == WSI_CLIENT)
        return WSOCK_ENOTSUP;
    extra = wsi_conn_extra(conn);
    bearer = extra != NULL ? new_bearer(conn, text) : NULL;
    if (bearer == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&conn->worker->lock);
    r = set(extra, bearer);
    pthread_mutex_unlock(&conn->worker->lock);
    if (r < 0)
        free_bearer(index_of(conn), bearer);
    return r;
}

const char *wsi_conn_identity(const struct wsock_conn *conn)
{
    const struct wsi_bearer *bearer = bearer_of(conn);

    return bearer != NULL ? bearer->text : "";
}
