/* SPDX-License-Identifier: MIT */
/** @file Marks what the shared library exports. */
#ifndef WSOCK_EXPORT_H
#define WSOCK_EXPORT_H

#if defined(__GNUC__)
#define WSOCK_API __attribute__((visibility("default")))
#else
#define WSOCK_API
#endif

#endif
