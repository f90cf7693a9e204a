/* SPDX-License-Identifier: MIT */
/** @file The version of these headers, and of the library that runs. */
#ifndef WSOCK_VERSION_H
#define WSOCK_VERSION_H

#include <wsock/export.h>

#define WSOCK_VERSION_MAJOR 0
#define WSOCK_VERSION_MINOR 1
#define WSOCK_VERSION_PATCH 0
#define WSOCK_VERSION       "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/** The version of the library that runs, "0.1.0". @return (borrowed) static text.
 *  Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_version(void);

#ifdef __cplusplus
}
#endif

#endif
