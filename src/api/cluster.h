/* SPDX-License-Identifier: MIT */
/* A server's cluster, from its first listener to its end. */
#ifndef WSI_API_CLUSTER_H
#define WSI_API_CLUSTER_H

#include "api/server.h"

/** With the server's lock held: open it, if the options say so and it is not open.
 *  @return 0, or what wsi_fail() answered. */
int wsi_server_open_cluster(wsock_server *server);

/** The server has ended but for this. @param then called once it is closed. @return false
 *  when there is nothing to close. */
bool wsi_server_close_cluster(wsock_server *server, void (*then)(wsock_server *server));

#endif
