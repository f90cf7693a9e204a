/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_S = 5 };

/* Entries of a directory of numbers that count, or all. */
static int count_in(const char *directory, bool (*counts)(const char *entry))
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    int count = 0;

    if (dir == NULL)
        return -1;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.' && (counts == NULL || counts(entry->d_name));
    closedir(dir);
    return count;
}

static bool is_ours(const char *thread)
{
    char path[300], name[32] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    file = fopen(path, "r");
    if (file == NULL) /* it has just ended */
        return false;
    if (fgets(name, sizeof name, file) == NULL)
        name[0] = '\0';
    (void)fclose(file);
    return strncmp(name, "wsock", 5) == 0;
}

int process_threads(void)
{
    return count_in("/proc/self/task", is_ours);
}

bool process_threads_end(void)
{
    const time_t deadline = time(NULL) + PATIENCE_S;

    while (process_threads() != 0) {
        if (time(NULL) > deadline)
            return false;
        sched_yield();
    }
    return true;
}

int process_fds(void)
{
    return count_in("/proc/self/fd", NULL);
}
