/* SPDX-License-Identifier: MIT */
/* Finding and loading adapters. */
#include "cluster/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <wsock/error.h>

#include "cluster/memory.h"

/* Which module speaks a scheme. */
static const struct {
    const char *scheme, *module;
} modules[] = {
    {"redis", "redis"}, {"rediss", "redis"}, {"redis+unix", "redis"},
    {"nats", "nats"},   {"tls", "nats"},
};

/* What a URL may have before "://" or, of one without a host, ":". */
static size_t scheme_length(const char *url)
{
    return strcspn(url, ":/?#");
}

static bool is_scheme(const char *url, const char *scheme)
{
    const size_t len = scheme_length(url);

    return url[len] == ':' && strlen(scheme) == len && strncmp(url, scheme, len) == 0;
}

static const char *module_of(const char *url)
{
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++)
        if (is_scheme(url, modules[i].scheme))
            return modules[i].module;
    return NULL;
}

int wsi_plugin_load(const struct wsi_bus_type **out, const char *path, char *why)
{
    wsi_bus_plugin_fn *plugin = NULL;
    const struct wsi_bus_type *type;
    void *module, *symbol;

    if (access(path, F_OK) < 0) {
        snprintf(why, WSI_BUS_WHY_SIZE, "there is no %s", path);
        return WSOCK_ENOENT;
    }
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (module == NULL) {
        snprintf(why, WSI_BUS_WHY_SIZE, "cannot be loaded: %s", dlerror());
        return WSOCK_ENOTSUP;
    }
    symbol = dlsym(module, "wsi_bus_plugin");
    /* POSIX has it that this is a function's address all the same. */
    memcpy(&plugin, &symbol, sizeof plugin);
    type = plugin != NULL ? plugin() : NULL;
    if (type == NULL || type->version != WSI_BUS_VERSION) {
        snprintf(why, WSI_BUS_WHY_SIZE, "%s is %s", path,
                 type == NULL ? "no plug-in of libwsock"
                              : "of another version of libwsock");
        return WSOCK_ENOTSUP;
    }
    *out = type;
    return 0;
}

/* Where this code lies. */
static bool own_directory(char *out, size_t size)
{
    static const char here = 0;
    const char *slash;
    Dl_info info;

    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL)
        return false;
    slash = strrchr(info.dli_fname, '/');
    if (slash == NULL || (size_t)(slash - info.dli_fname) >= size)
        return false;
    memcpy(out, info.dli_fname, (size_t)(slash - info.dli_fname));
    out[slash - info.dli_fname] = '\0';
    return true;
}

/* @return as wsi_plugin_load(), of the first place where there is one. */
static int load(const struct wsi_bus_type **out, const char *module, char *why)
{
    char own[PATH_MAX], path[2 * PATH_MAX];
    int r = WSOCK_ENOENT;

    if (own_directory(own, sizeof own)) {
        snprintf(path, sizeof path, "%s/wsock/wsock-%s.so", own, module);
        r = wsi_plugin_load(out, path, why);
        if (r == WSOCK_ENOENT) {
            snprintf(path, sizeof path, "%s/cluster/%s/wsock-%s.so", own, module, module);
            r = wsi_plugin_load(out, path, why);
        }
    }
    if (r == WSOCK_ENOENT) {
        snprintf(path, sizeof path, "%s/wsock-%s.so", WSI_PLUGIN_DIR, module);
        r = wsi_plugin_load(out, path, why);
    }
    return r;
}

int wsi_plugin_find(const struct wsi_bus_type **out, const char *url, char *why)
{
    const char *module = module_of(url);
    const struct wsi_bus_type *type;
    char because[WSI_BUS_WHY_SIZE];
    int r;

    if (is_scheme(url, wsi_bus_memory.schemes[0])) {
        r = wsi_bus_memory.parse(url, why);
        if (r == 0)
            *out = &wsi_bus_memory;
        return r;
    }
    if (module == NULL) {
        snprintf(why, WSI_BUS_WHY_SIZE,
                 "the URL of a cluster begins with redis://, rediss://, redis+unix:, "
                 "nats://, tls:// or memory:");
        return WSOCK_EURL;
    }
    r = load(&type, module, because);
    if (r < 0) {
        snprintf(why, WSI_BUS_WHY_SIZE, "the plug-in wsock-%s.so: %.200s", module,
                 because);
        return WSOCK_ENOTSUP;
    }
    r = type->parse(url, why);
    if (r == 0)
        *out = type;
    return r;
}
