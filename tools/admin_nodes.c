/* SPDX-License-Identifier: MIT */
/*
 * The admin call /nodes: which servers of the cluster there are. Only the broker knows,
 * so its answer comes later than the call.
 */
#include <stdlib.h>
#include <string.h>

#include "admin.h"

static int compare_nodes(const void *a, const void *b)
{
    const wsock_node *x = *(const wsock_node *const *)a;
    const wsock_node *y = *(const wsock_node *const *)b;
    const int by_name = strcmp(x->name, y->name);

    return by_name != 0 ? by_name : strcmp(x->id, y->id);
}

static json_t *show(const wsock_node *node)
{
    return json_pack("{s:s, s:s, s:I, s:b}", "id", node->id, "name", node->name,
                     "connections", (json_int_t)node->conns, "self", node->is_self);
}

/* @return (owned, nullable) NULL without memory. */
static json_t *list_nodes(const wsock_node *nodes, size_t count)
{
    const wsock_node **sorted = calloc(count + 1, sizeof *sorted);
    json_t *list = json_array();

    if (sorted == NULL) {
        json_decref(list);
        return NULL;
    }
    /* A later library may have larger nodes. */
    for (size_t i = 0; i < count; i++)
        sorted[i] = (const void *)((const char *)nodes + i * nodes->size);
    qsort(sorted, count, sizeof *sorted, compare_nodes);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, show(sorted[i]));
    free(sorted);
    return json_pack("{s:o}", "nodes", list);
}

static void on_nodes(const wsock_node *nodes, size_t count, const char *why, void *user)
{
    wsock_request *request = user;
    struct admin_reply reply = {.status = 503, .code = "failed", .text = "out of memory"};

    if (*why != '\0')
        reply.text = "the broker did not answer";
    else
        reply.ok = list_nodes(nodes, count);
    admin_answer(request, &reply);
    json_decref(reply.ok);
    wsock_request_unref(request);
}

void admin_nodes(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    wsock_request *request = wsock_request_ref(reply->request);
    const int r = wsock_server_nodes(server, on_nodes, request);

    (void)args;
    reply->is_later = r == 0;
    if (r == 0)
        return;
    wsock_request_unref(request);
    if (r == WSOCK_ENOTSUP) {
        reply->status = 409;
        reply->code = "no_cluster";
        reply->text = "the server is in no cluster";
    } else {
        reply->status = 503;
        reply->code = r == WSOCK_EAGAIN ? "busy" : "failed";
        reply->text = r == WSOCK_EAGAIN ? "the broker is away" : wsock_strerror(r);
    }
}
