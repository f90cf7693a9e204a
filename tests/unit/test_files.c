/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/beneath.h"
#include "conn/files.h"

/* base/www is served; base/secret.txt must never be. */
static char base[64];
static char longest[256]; /* a name as long as names may be */

static const char *under(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", base, name);
    return path;
}

static void make_file(const char *name, const char *text)
{
    FILE *f = fopen(under(name), "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_link(const char *name, const char *to)
{
    assert_int_equal(symlink(to, under(name)), 0);
}

static int make_tree(void **state)
{
    static const char *const dirs[] = {
        "www",      "www/dir", "www/dir/deep",       "www/.git",
        "www/bare", "www/odd", "www/odd/index.html", "www2"};
    char path[300];

    (void)state;
    strcpy(base, "/tmp/wsock-files-XXXXXX");
    assert_non_null(mkdtemp(base));
    assert_int_equal(chmod(base, 0755), 0);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        assert_int_equal(mkdir(under(dirs[i]), 0755), 0);
    make_file("secret.txt", "secret");
    make_file("www2/x.txt", "other");
    make_file("www/index.html", "<p>hello");
    make_file("www/app.js", "1");
    make_file("www/a b.txt", "blank");
    make_file("www/.hidden", "h");
    make_file("www/.git/config", "h");
    make_file("www/dir/index.html", "index");
    make_file("www/dir/page.html", "page");
    make_file("www/dir/deep/x.PNG", "png");
    make_file("www/noext", "12345");
    make_file("www/forbidden.txt", "f");
    memset(longest, 'n', 255);
    snprintf(path, sizeof path, "www/%s", longest);
    make_file(path, "long");
    make_link("www/out", "../secret.txt");
    make_link("www/outdir", "..");
    make_link("www/twice", "dir/../../secret.txt");
    make_link("www/proc", "/proc/self/fd");
    make_link("www/dangling", "nowhere");
    make_link("www/loop", "loop");
    make_link("www/inside", "dir/deep/x.PNG");
    snprintf(path, sizeof path, "%s/secret.txt", base);
    make_link("www/absolute", path);
    snprintf(path, sizeof path, "%s/www/app.js", base);
    make_link("www/absolute_inside", path);
    assert_int_equal(mkfifo(under("www/fifo"), 0644), 0);
    return 0;
}

static int remove_tree(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command);
}

static struct wsi_files files = {-1};
static struct wsi_file file;

/* The status; for 200 the content goes into `content`. */
static char content[64];

static int find_str(struct wsi_str path)
{
    int status;

    assert_int_equal(wsi_files_open(&files, under("www")), 0);
    file = (struct wsi_file){-1, 0, NULL};
    status = wsi_files_find(&files, &file, path);
    content[0] = '\0';
    if (status == 200) {
        const ssize_t n = read(file.fd, content, sizeof content - 1);

        assert_int_equal(n, file.size);
        content[n] = '\0';
        assert_true((fcntl(file.fd, F_GETFD) & FD_CLOEXEC) != 0);
        close(file.fd);
    } else {
        assert_int_equal(file.fd, -1);
    }
    wsi_files_close(&files);
    return status;
}

static int find(const char *path)
{
    return find_str(wsi_str_of(path));
}

static void files_are_found_with_size_and_type(void **state)
{
    static const struct {
        const char *path, *content, *type;
    } cases[] = {
        {"/", "<p>hello", "text/html; charset=utf-8"},
        {"/index.html", "<p>hello", "text/html; charset=utf-8"},
        {"/app.js", "1", "text/javascript; charset=utf-8"},
        {"/a b.txt", "blank", "text/plain; charset=utf-8"},
        {"/dir/", "index", "text/html; charset=utf-8"},
        {"/dir/deep/x.PNG", "png", "image/png"},
        {"/noext", "12345", "application/octet-stream"},
    };
    char path[300];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(find(cases[i].path), 200);
        assert_string_equal(content, cases[i].content);
        assert_string_equal(file.type, cases[i].type);
    }
    snprintf(path, sizeof path, "/%s", longest);
    assert_int_equal(find(path), 200);
}

static void a_directory_without_its_slash_redirects(void **state)
{
    (void)state;
    assert_int_equal(find("/dir"), 301);
    assert_int_equal(find("/dir/deep"), 301);
    assert_int_equal(find("/dir/deep/"), 404); /* no index.html, and no listing */
    assert_int_equal(find("/bare/"), 404);
    assert_int_equal(find("/odd/"), 404); /* index.html is a directory */
    assert_int_equal(find("//dir"), 404); /* it would name another host */
}

static void nothing_outside_is_found(void **state)
{
    static const char *const paths[] = {
        "/../secret.txt",
        "/..",
        "/dir/../../secret.txt",
        "/./../secret.txt",
        "/out",
        "/outdir",
        "/outdir/secret.txt",
        "/outdir/www2/x.txt",
        "/twice",
        "/absolute",
        "/absolute_inside",
        "/proc/0",
        "/proc",
        "/../www2/x.txt",
        "../secret.txt",
        "secret.txt",
        "//../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..\\secret.txt",
    };

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_equal(find(paths[i]), 404);
    assert_int_equal(find(under("secret.txt")), 404);
}

static void what_is_no_visible_file_is_not_found(void **state)
{
    static const char *const paths[] = {
        "",          "app.js",          "/none",     "/none/", "/none/x",      "/app.js/",
        "/app.js/x", "/.hidden",        "/.git",     "/.git/", "/.git/config", "/.",
        "/dir/.",    "/dir//page.html", "/dangling", "/loop",  "/fifo",        "/APP.JS",
    };
    static char path[6000];

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_equal(find(paths[i]), 404);
    assert_int_equal(find_str(WSI_STR("/app.js\0")), 404);
    assert_int_equal(find_str(WSI_STR("/app.js\0.txt")), 404);
    for (size_t len = 250; len < sizeof path; len += 23) {
        path[0] = '/';
        memset(path + 1, 'x', len);
        path[len] = '\0';
        assert_int_equal(find(path), 404);
        for (size_t i = 3; i < len; i += 3) /* the same in many components */
            path[i] = '/';
        assert_int_equal(find(path), 404);
    }
}

static void links_that_stay_inside_are_followed_or_refused(void **state)
{
    const int status = find("/inside");

    (void)state;
    assert_true(status == 200 || status == 404); /* by kernel */
    if (status == 200)
        assert_string_equal(content, "png");
}

static void the_walk_without_openat2_follows_no_link(void **state)
{
    static const struct {
        const char *path;
        int error;
    } cases[] = {
        {"out", -ELOOP},
        {"outdir/secret.txt", -ENOTDIR},
        {"absolute", -ELOOP},
        {"inside", -ELOOP},
        {"../secret.txt", -EXDEV},
        {"dir/../../secret.txt", -EXDEV},
        {"..", -EXDEV},
        {"dir//page.html", -ENOENT},
        {"", -ENOENT},
        {"app.js/x", -ENOTDIR},
        {"none/x", -ENOENT},
        {"proc/0", -ENOTDIR},
    };
    char path[600];
    const int root = open(under("www"), O_PATH | O_DIRECTORY);
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(wsi_open_without_links(root, cases[i].path, O_RDONLY),
                         cases[i].error);
    fd = wsi_open_without_links(root, "dir/deep/x.PNG", O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, content, 10), 3);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    fd = wsi_open_without_links(root, longest, O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    snprintf(path, sizeof path, "%sn", longest);
    assert_int_equal(wsi_open_without_links(root, path, O_RDONLY), -ENAMETOOLONG);
    close(root);
}

static void permissions_answer_403(void **state)
{
    const bool is_root = geteuid() == 0;
    int file_status, dir_status;

    (void)state;
    assert_int_equal(chmod(under("www/forbidden.txt"), 0), 0);
    assert_int_equal(chmod(under("www/bare"), 0), 0);
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    file_status = find("/forbidden.txt");
    dir_status = find("/bare/x");
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(under("www/bare"), 0755), 0);
    assert_int_equal(file_status, 403);
    assert_int_equal(dir_status, 403);
}

static void want_of_descriptors_answers_503(void **state)
{
    struct rlimit before, none;
    int status;

    (void)state;
    assert_int_equal(wsi_files_open(&files, under("www")), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    status = wsi_files_find(&files, &file, WSI_STR("/app.js"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wsi_files_close(&files);
    assert_int_equal(status, 503);
}

static void a_root_that_is_no_directory_is_refused(void **state)
{
    (void)state;
    assert_int_equal(wsi_files_open(&files, under("nothing")), WSOCK_ENOENT);
    assert_int_equal(files.root, -1);
    assert_int_equal(wsi_files_open(&files, under("secret.txt")), WSOCK_EINVAL);
    wsi_files_close(&files);
    make_link("root", "www");
    assert_int_equal(wsi_files_open(&files, under("root")),
                     0); /* the root itself may be a link */
    assert_int_equal(wsi_files_find(&files, &file, WSI_STR("/app.js")), 200);
    close(file.fd);
    wsi_files_close(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_found_with_size_and_type),
        TEST(a_directory_without_its_slash_redirects),
        TEST(nothing_outside_is_found),
        TEST(what_is_no_visible_file_is_not_found),
        TEST(links_that_stay_inside_are_followed_or_refused),
        TEST(the_walk_without_openat2_follows_no_link),
        TEST(permissions_answer_403),
        TEST(want_of_descriptors_answers_503),
        TEST(a_root_that_is_no_directory_is_refused),
    };

    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
