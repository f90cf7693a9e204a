/* SPDX-License-Identifier: MIT */
/*
 * The static directory (option www): which file answers a plain GET or HEAD, and with
 * what status. Sending it is for the caller.
 *
 * Nothing outside of the directory is ever opened, whatever the path says and wherever
 * symbolic links point (the directory itself may be one). Links that stay inside are
 * followed on kernels with openat2(), and none at all on others. Names that begin with a
 * dot, and what is no regular file, do not exist.
 */
#ifndef WSI_CONN_FILES_H
#define WSI_CONN_FILES_H

#include <stdint.h>

#include "core/str.h"

struct wsi_files {
    int root; /* descriptor of the directory, -1 without one */
};

struct wsi_file {
    int fd; /* (owned by the caller) */
    uint64_t size;
    const char *type; /* static; the Content-Type */
};

/** @return 0; WSOCK_ENOENT; WSOCK_EACCESS; WSOCK_EINVAL for what is no directory;
 *  WSOCK_EMFILE; WSOCK_ENOMEM; WSOCK_ESYSTEM. On failure files->root is -1. */
int wsi_files_open(struct wsi_files *files, const char *directory);

/** Takes one that failed to open. */
void wsi_files_close(struct wsi_files *files);

/**
 * Find the file of a path. "/dir/" stands for "/dir/index.html".
 *
 * @param out  (out) set with 200 only; the caller closes fd.
 * @param path decoded, without the query.
 * @return an HTTP status: 200; 301 for a directory without its slash (Location: the path
 * as it was sent, with a '/' behind it; it never begins with "//"); 403 when the
 * permissions forbid it; 404; 503 when no descriptor is free; 500 for a fault of the
 * disk.
 */
int wsi_files_find(const struct wsi_files *files, struct wsi_file *out,
                   struct wsi_str path);

#endif
