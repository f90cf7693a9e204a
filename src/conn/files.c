/* SPDX-License-Identifier: MIT */
/*
 * From the path of a request to an open file. Names are judged here; that no link leads
 * out is for beneath.h. What must not be seen is answered like what is not there.
 */
#include "conn/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/beneath.h"

static const struct {
    const char *extension, *type;
} types[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"txt", "text/plain; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"wasm", "application/wasm"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"ico", "image/x-icon"},
    {"woff2", "font/woff2"},
};

static const char *type_of(const char *path)
{
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++)
        if (wsi_str_equal_nocase(wsi_str_of(dot + 1), wsi_str_of(types[i].extension)))
            return types[i].type;
    return "application/octet-stream";
}

/* The path below the root, with index.html where it stands for a directory; false for one
 * that no file may have. */
static bool make_relative(char out[PATH_MAX], struct wsi_str path)
{
    static const char index[] = "index.html";
    char previous = '/';

    if (path.len == 0 || path.ptr[0] != '/' || path.len + sizeof index > PATH_MAX)
        return false;
    for (size_t i = 1; i < path.len; i++) {
        const char c = path.ptr[i];

        if (c == '\0' || (previous == '/' && (c == '/' || c == '.')))
            return false;
        previous = c;
    }
    memcpy(out, path.ptr + 1, path.len - 1);
    if (previous == '/')
        memcpy(out + path.len - 1, index, sizeof index);
    else
        out[path.len - 1] = '\0';
    return true;
}

static int status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV: /* a link out of the directory */
    case ENXIO: /* a socket */
        return 404;
    case EACCES:
    case EPERM:
        return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
        return 503;
    default:
        return 500;
    }
}

int wsi_files_open(struct wsi_files *files, const char *directory)
{
    files->root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (files->root >= 0)
        return 0;
    switch (errno) {
    case ENOENT:
        return WSOCK_ENOENT;
    case ENOTDIR:
        return WSOCK_EINVAL;
    case EACCES:
        return WSOCK_EACCESS;
    case EMFILE:
    case ENFILE:
        return WSOCK_EMFILE;
    case ENOMEM:
        return WSOCK_ENOMEM;
    default:
        return WSOCK_ESYSTEM;
    }
}

void wsi_files_close(struct wsi_files *files)
{
    if (files->root >= 0)
        close(files->root);
    files->root = -1;
}

int wsi_files_find(const struct wsi_files *files, struct wsi_file *out,
                   struct wsi_str path)
{
    char relative[PATH_MAX];
    struct stat info;
    int status = 404, fd;

    if (!make_relative(relative, path))
        return 404;
    /* Not to wait for the other end of a FIFO, nor to make a terminal ours. */
    fd = wsi_open_beneath(files->root, relative, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return status_of(-fd);
    if (fstat(fd, &info) < 0) {
        status = 500;
    } else if (S_ISREG(info.st_mode)) {
        *out = (struct wsi_file){fd, (uint64_t)info.st_size, type_of(relative)};
        return 200;
    } else if (S_ISDIR(info.st_mode) && path.ptr[path.len - 1] != '/') {
        status = 301;
    }
    close(fd);
    return status;
}
