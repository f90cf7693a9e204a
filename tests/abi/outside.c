/* SPDX-License-Identifier: MIT */
/* A program outside the tree, on an installed libwsock. C11 and C++17. */
#include <stdio.h>
#include <string.h>

#include <wsock/wsock.h>

int main(void)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = strcmp(wsock_version(), WSOCK_VERSION);
    printf("%s %s\n", wsock_version(), wsock_strerror(r));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r != 0;
}
