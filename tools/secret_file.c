/* SPDX-License-Identifier: MIT */
/*
 * Files that hold one secret. A secret is never an argument: those can be seen by every
 * user of the machine.
 */
#include "secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum { SECRET_MAX = 65536 };

int secret_file_read(const char *command, const char *flag, const char *path, char **out,
                     size_t *len)
{
    FILE *file = fopen(path, "rbe");
    char *text = NULL;
    size_t n = 0;
    int error = 0;

    if (file == NULL)
        return fail(command, "%s: cannot read %s: %s", flag, path, strerror(errno));
    text = malloc(SECRET_MAX + 2);
    if (text != NULL)
        n = fread(text, 1, SECRET_MAX + 1, file);
    error = text == NULL ? ENOMEM : ferror(file) ? errno : n > SECRET_MAX ? EFBIG : 0;
    (void)fclose(file);
    if (error != 0) {
        free(text);
        return fail(command, "%s: cannot read %s: %s", flag, path, strerror(error));
    }
    if (n > 0 && text[n - 1] == '\n')
        n--;
    if (n > 0 && text[n - 1] == '\r')
        n--;
    text[n] = '\0';
    *out = text;
    *len = n;
    return 0;
}

void secret_file_drop(char *secret, size_t len)
{
    if (secret != NULL)
        explicit_bzero(secret, len);
    free(secret);
}
