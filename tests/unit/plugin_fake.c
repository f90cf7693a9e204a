/* SPDX-License-Identifier: MIT */
/* A module that is a plug-in, as it is built: one of this version, or of another. */
#include "cluster/bus.h"

wsi_bus_plugin_fn wsi_bus_plugin;

__attribute__((visibility("default"))) const struct wsi_bus_type *wsi_bus_plugin(void)
{
    static const struct wsi_bus_type type = {.version = WSI_BUS_VERSION + AHEAD};

    return &type;
}
