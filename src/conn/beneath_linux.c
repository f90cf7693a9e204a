/* SPDX-License-Identifier: MIT */
/* The way down a directory tree: Linux's openat2(), and a walk for kernels before 5.6 and
 * sandboxes that forbid it. */
#include "conn/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int wsi_open_without_links(int root, const char *path, int flags)
{
    int dir = root;

    for (;;) {
        const size_t len = strcspn(path, "/");
        const int last = path[len] == '\0';
        const int how = (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC;
        char name[NAME_MAX + 1];
        int fd = -ENAMETOOLONG;

        if (len == 2 && memcmp(path, "..", 2) == 0) {
            fd = -EXDEV;
        } else if (len == 0) {
            fd = -ENOENT;
        } else if (len < sizeof name) {
            memcpy(name, path, len);
            name[len] = '\0';
            fd = openat(dir, name, how);
            if (fd < 0)
                fd = -errno;
        }
        if (dir != root)
            close(dir);
        if (fd < 0 || last)
            return fd;
        dir = fd;
        path += len + 1;
    }
}

int wsi_open_beneath(int root, const char *path, int flags)
{
    const struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    /* EAGAIN: something was renamed meanwhile, so ".." in a link could not be judged. */
    for (int tries = 0; tries < 8; tries++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOSYS || errno == EPERM) /* sandboxes say EPERM */
        return wsi_open_without_links(root, path, flags);
    return -errno;
}
