/* SPDX-License-Identifier: MIT */
/* Files that hold one secret, or a key. */
#ifndef SECRET_FILE_H
#define SECRET_FILE_H

#include <stddef.h>

/**
 * Read a file whole, at most 64 KiB, without the line end at its end.
 *
 * @param flag (borrowed) for complaints.
 * @param out  (out, owned) ended by NUL; give it back with secret_file_drop().
 * @return 0, or EXIT_FAILED after a complaint.
 */
int secret_file_read(const char *command, const char *flag, const char *path, char **out,
                     size_t *len);

/** Takes NULL. */
void secret_file_drop(char *secret, size_t len);

#endif
