/* SPDX-License-Identifier: MIT */
/* Addresses, their text, and listening sockets. */
#include "test.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <wsock/error.h>

#include "io/address.h"

static void assert_text(const struct wsi_address *address, const char *text)
{
    char out[WSI_ADDRESS_TEXT_MAX];

    assert_string_equal(wsi_address_text(address, out), text);
}

static void numeric_addresses_read_back(void **state)
{
    struct wsi_address a;

    (void)state;
    assert_true(wsi_address_numeric(&a, "127.0.0.1", 80));
    assert_text(&a, "127.0.0.1:80");
    assert_int_equal(wsi_address_port(&a), 80);
    assert_true(wsi_address_numeric(&a, "::1", 65535));
    assert_text(&a, "[::1]:65535");
    wsi_address_set_port(&a, 7);
    assert_int_equal(wsi_address_port(&a), 7);
    assert_true(wsi_address_numeric(&a, "2001:db8::5", 443));
    assert_text(&a, "[2001:db8::5]:443");
    assert_true(wsi_address_numeric(&a, "127.3.2.1", 1));
    assert_true(wsi_address_numeric(&a, "128.0.0.1", 1));
}

static void mapped_v4_reads_as_v4(void **state)
{
    struct wsi_address a;

    (void)state;
    assert_true(wsi_address_numeric(&a, "::ffff:127.0.0.9", 80));
    assert_text(&a, "127.0.0.9:80");
}

static void zones_are_names_or_numbers(void **state)
{
    struct wsi_address a;

    (void)state;
    assert_true(wsi_address_numeric(&a, "fe80::1%lo", 80));
    assert_text(&a, "[fe80::1%1]:80");
    assert_true(wsi_address_numeric(&a, "fe80::1%7", 80));
    assert_text(&a, "[fe80::1%7]:80");
    assert_false(wsi_address_numeric(&a, "fe80::1%", 80));
    assert_false(wsi_address_numeric(&a, "fe80::1%no-such-zone", 80));
    assert_false(wsi_address_numeric(&a, "fe80::1%7x", 80));
}

static void names_are_not_numeric(void **state)
{
    static const char *const names[] = {
        "",     "localhost", "127.1", "0x7f.0.0.1",  "127.0.0.1.",
        "1",    "::1::",     "[::1]", "127.0.0.256", "1.2.3.4 ",
        " ::1", "::g",       "::1%",  "1.2.3.4%lo",
    };
    struct wsi_address a;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(wsi_address_numeric(&a, names[i], 80));
}

static void unix_paths_have_a_limit(void **state)
{
    struct wsi_address a;
    char path[200];

    (void)state;
    memset(path, 'p', sizeof path);
    path[107] = '\0';
    assert_int_equal(wsi_address_unix(&a, path), 0);
    assert_int_equal(wsi_address_port(&a), 0);
    path[107] = 'p';
    path[108] = '\0';
    assert_int_equal(wsi_address_unix(&a, path), WSOCK_EINVAL);
    assert_int_equal(wsi_address_unix(&a, ""), WSOCK_EINVAL);
}

static void unix_text_is_safe_to_log(void **state)
{
    struct wsi_address a;
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&a.u;

    (void)state;
    assert_int_equal(wsi_address_unix(&a, "/run/a\nb\x7f"), 0);
    assert_text(&a, "unix:/run/a?b?");
    a.len = sizeof(sa_family_t);
    assert_text(&a, "unix:");
    memcpy(un->sun_path, "\0abc", 4);
    a.len = sizeof(sa_family_t) + 4;
    assert_text(&a, "unix:@abc");
    memset(un->sun_path, 'x', sizeof un->sun_path);
    a.len = sizeof *un;
    a.u.any.sa_family = AF_UNIX;
    {
        char out[WSI_ADDRESS_TEXT_MAX];

        assert_int_equal(strlen(wsi_address_text(&a, out)), 5 + sizeof un->sun_path);
    }
}

static bool no_memory;

/* That of libc, but when a test wants none. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *address = dlsym(RTLD_NEXT, "getaddrinfo");

    if (no_memory)
        return EAI_MEMORY;
    memcpy(&real, &address, sizeof real);
    return real(host, service, hints, list);
}

static void lookup_without_memory_says_so(void **state)
{
    struct wsi_address found[4];

    (void)state;
    no_memory = true;
    assert_int_equal(wsi_address_lookup(found, 4, "localhost", 99), WSOCK_ENOMEM);
    no_memory = false;
}

static void lookup_of_numeric_hosts_needs_no_network(void **state)
{
    struct wsi_address found[4];

    (void)state;
    assert_int_equal(wsi_address_lookup(found, 4, "127.0.0.1", 99), 1);
    assert_text(&found[0], "127.0.0.1:99");
    assert_int_equal(wsi_address_lookup(found, 4, "::1", 99), 1);
    assert_text(&found[0], "[::1]:99");
    assert_int_equal(wsi_address_lookup(found, 4, "no..such..host", 99), WSOCK_ERESOLVE);
}

/* ---- listening ---- */

static int listen_on(const char *host, uint16_t port, bool shareable, int *fd)
{
    struct wsi_address a;

    assert_true(wsi_address_numeric(&a, host, port));
    return wsi_listen(&a, 16, shareable, fd);
}

static uint16_t port_of(int fd)
{
    struct wsi_address a;

    assert_int_equal(wsi_address_local(&a, fd), 0);
    return wsi_address_port(&a);
}

static bool reaches(const char *host, uint16_t port)
{
    struct wsi_address a;
    int fd;
    bool ok;

    assert_true(wsi_address_numeric(&a, host, port));
    fd = socket(a.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    ok = connect(fd, &a.u.any, a.len) == 0;
    close(fd);
    return ok;
}

static void port_in_use_is_an_error(void **state)
{
    int fd, second = -7;

    (void)state;
    for (int shareable = 0; shareable < 2; shareable++) {
        assert_int_equal(listen_on("127.0.0.1", 0, shareable, &fd), 0);
        assert_int_equal(listen_on("127.0.0.1", port_of(fd), shareable, &second),
                         WSOCK_EADDRINUSE);
        assert_int_equal(listen_on("0.0.0.0", port_of(fd), !shareable, &second),
                         WSOCK_EADDRINUSE);
        assert_int_equal(second, -7);
        close(fd);
    }
}

static void shareable_port_can_be_joined(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", "::"};

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        int first, second, third, refused = -7;

        assert_int_equal(listen_on(hosts[i], 0, true, &first), 0);
        assert_int_equal(wsi_listen_join(first, 16, &second), 0);
        assert_int_equal(wsi_listen_join(first, 16, &third), 0);
        assert_int_equal(port_of(second), port_of(first));
        assert_int_equal(listen_on(hosts[i], port_of(first), true, &refused),
                         WSOCK_EADDRINUSE);
        close(first);
        /* The others hold the port. */
        assert_true(reaches(i == 0 ? "127.0.0.1" : "::1", port_of(second)));
        close(second);
        close(third);
        assert_int_equal(listen_on(hosts[i], 0, false, &first), 0);
        assert_int_equal(wsi_listen_join(first, 16, &second), WSOCK_EADDRINUSE);
        close(first);
    }
}

static void any_address_is_dual_and_v6_alone_is_not(void **state)
{
    struct wsi_address any;
    int fd, v6only = 0;
    socklen_t len = sizeof v6only;

    (void)state;
    wsi_address_any(&any, 0);
    assert_int_equal(wsi_listen(&any, 16, false, &fd), 0);
    assert_true(reaches("127.0.0.1", port_of(fd)));
    assert_true(reaches("::1", port_of(fd)));
    close(fd);
    assert_int_equal(listen_on("::1", 0, false, &fd), 0);
    assert_false(reaches("127.0.0.1", port_of(fd)));
    assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len), 0);
    assert_int_equal(v6only, 1);
    close(fd);
}

static void mapped_address_can_be_listened_on(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(listen_on("::ffff:127.0.0.1", 0, false, &fd), 0);
    assert_true(reaches("127.0.0.1", port_of(fd)));
    close(fd);
}

static void foreign_address_is_not_available(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(listen_on("192.0.2.1", 0, false, &fd), WSOCK_EADDRNOTAVAIL);
}

static void listen_reports_that_descriptors_ran_out(void **state)
{
    struct rlimit before, tight;
    int fd = dup(0);

    (void)state;
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)fd;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(listen_on("127.0.0.1", 0, false, &fd), WSOCK_EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* ---- Unix sockets ---- */

static char dir[64], path[80];

static struct wsi_address unix_address(void)
{
    struct wsi_address a;

    strcpy(dir, "/tmp/wsi-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    assert_int_equal(wsi_address_unix(&a, path), 0);
    return a;
}

static void remove_unix(void)
{
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void stale_unix_socket_is_replaced(void **state)
{
    const struct wsi_address a = unix_address();
    int fd;

    (void)state;
    assert_int_equal(wsi_listen(&a, 16, false, &fd), 0);
    close(fd);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(wsi_listen(&a, 16, true, &fd), 0);
    close(fd);
    remove_unix();
}

static void living_unix_socket_is_in_use(void **state)
{
    const struct wsi_address a = unix_address();
    int fd, second;

    (void)state;
    assert_int_equal(wsi_listen(&a, 16, false, &fd), 0);
    assert_int_equal(wsi_listen(&a, 16, false, &second), WSOCK_EADDRINUSE);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    close(fd);
    remove_unix();
}

static void file_at_a_unix_path_is_never_removed(void **state)
{
    const struct wsi_address a = unix_address();
    char victim[96];
    struct stat st;
    FILE *file = fopen(path, "w");
    int fd;

    (void)state;
    assert_non_null(file);
    fputs("precious", file);
    fclose(file);
    assert_int_equal(wsi_listen(&a, 16, false, &fd), WSOCK_EADDRINUSE);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8);
    /* A link to a dead socket is a file of another kind, too. */
    snprintf(victim, sizeof victim, "%s.victim", path);
    assert_int_equal(rename(path, victim), 0);
    assert_int_equal(symlink(victim, path), 0);
    assert_int_equal(wsi_listen(&a, 16, false, &fd), WSOCK_EADDRINUSE);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(lstat(path, &st), 0);
    unlink(victim);
    remove_unix();
}

static void datagram_socket_at_a_unix_path_is_in_use(void **state)
{
    const struct wsi_address a = unix_address();
    const int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int fd;

    (void)state;
    assert_int_equal(bind(datagrams, &a.u.any, a.len), 0);
    assert_int_equal(wsi_listen(&a, 16, false, &fd), WSOCK_EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    close(datagrams);
    remove_unix();
}

static void missing_directory_is_a_system_error(void **state)
{
    struct wsi_address a;
    int fd;

    (void)state;
    assert_int_equal(wsi_address_unix(&a, "/nonexistent/dir/socket"), 0);
    assert_true(wsi_listen(&a, 16, false, &fd) < 0);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numeric_addresses_read_back),
        TEST(mapped_v4_reads_as_v4),
        TEST(zones_are_names_or_numbers),
        TEST(names_are_not_numeric),
        TEST(unix_paths_have_a_limit),
        TEST(unix_text_is_safe_to_log),
        TEST(lookup_of_numeric_hosts_needs_no_network),
        TEST(lookup_without_memory_says_so),
        TEST(port_in_use_is_an_error),
        TEST(shareable_port_can_be_joined),
        TEST(any_address_is_dual_and_v6_alone_is_not),
        TEST(mapped_address_can_be_listened_on),
        TEST(foreign_address_is_not_available),
        TEST(listen_reports_that_descriptors_ran_out),
        TEST(stale_unix_socket_is_replaced),
        TEST(living_unix_socket_is_in_use),
        TEST(file_at_a_unix_path_is_never_removed),
        TEST(datagram_socket_at_a_unix_path_is_in_use),
        TEST(missing_directory_is_a_system_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
