/* SPDX-License-Identifier: MIT */
/* What hosts of Lua count in their own process. */
#ifndef WSOCK_TESTS_LUA_PROCESS_H
#define WSOCK_TESTS_LUA_PROCESS_H

#include <stdbool.h>

/** Threads of the library, by their names: sanitizers have one of their own, from the first
 *  thread on that is made. */
int process_threads(void);
/** Whether none is left; one that was joined may be there for a moment yet. */
bool process_threads_end(void);
/** Open descriptors. */
int process_fds(void);

#endif
