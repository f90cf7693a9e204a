/* SPDX-License-Identifier: MIT */
/* Open a file below a directory, and never one outside of it. */
#ifndef WSI_CONN_BENEATH_H
#define WSI_CONN_BENEATH_H

/**
 * Open by openat2(RESOLVE_BENEATH), or as wsi_open_without_links() where there is none.
 *
 * @param root  descriptor of a directory, O_PATH suffices.
 * @param path  relative.
 * @param flags of open(), without O_CREAT; O_CLOEXEC is added.
 * @return (owned) a descriptor; a negative errno: -EXDEV or -ELOOP for a way out.
 */
int wsi_open_beneath(int root, const char *path, int flags);

/** The same component by component; symbolic links and ".." are refused wherever they
 * lead. */
int wsi_open_without_links(int root, const char *path, int flags);

#endif
