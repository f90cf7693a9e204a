/* SPDX-License-Identifier: MIT */
/*
 * Adapters by the scheme of a URL. That within the process (memory.h) is a part of the
 * library. Those of brokers are modules, wsock-NAME.so, which are
 * loaded when one is asked for and stay until the process ends. They are looked for in
 * the directory wsock/ beside the file that holds this code (the library, or a module
 * that it is a part of), where the build leaves them, and where the library was
 * configured to be installed.
 */
#ifndef WSI_CLUSTER_PLUGIN_H
#define WSI_CLUSTER_PLUGIN_H

#include "cluster/bus.h"

/**
 * The adapter for a URL, which it has parsed.
 *
 * @param out (out, borrowed for good)
 * @param why (out) of WSI_BUS_WHY_SIZE bytes: on failure one sentence, without the URL's
 *            password.
 * @return 0; WSOCK_EURL; WSOCK_ENOTSUP when its module is not there or is not ours.
 */
int wsi_plugin_find(const struct wsi_bus_type **out, const char *url, char *why);

/** The same of one file. @return 0; WSOCK_ENOENT when it is not there; WSOCK_ENOTSUP. */
int wsi_plugin_load(const struct wsi_bus_type **out, const char *path, char *why);

#endif
