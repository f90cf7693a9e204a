/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer, over the files and the directories that are
 * named: replay PATH... Each file's name is printed first, so that the last one tells
 * which input ended the program. No input at all is a failure.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

enum { INPUT_MAX = 1 << 20, PATH_SIZE = 4096 };

static size_t replayed;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    uint8_t *input;
    size_t len;

    printf("%s\n", path);
    fflush(stdout);
    CHECK(file != NULL && bytes != NULL);
    len = fread(bytes, 1, INPUT_MAX, file);
    CHECK(ferror(file) == 0 && feof(file) != 0);
    fclose(file);
    input = fuzz_copy(bytes, len);
    free(bytes);
    CHECK(LLVMFuzzerTestOneInput(input, len) == 0);
    free(input);
    replayed++;
}

static void replay_directory(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    char inner[PATH_SIZE];

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        CHECK(snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < PATH_SIZE);
        replay_file(inner);
    }
    closedir(directory);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat status;

        CHECK(stat(argv[i], &status) == 0);
        if (S_ISDIR(status.st_mode))
            replay_directory(argv[i]);
        else
            replay_file(argv[i]);
    }
    printf("%zu inputs\n", replayed);
    return replayed == 0;
}
