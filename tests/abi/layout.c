/* SPDX-License-Identifier: MIT */
/*
 * Public structs: `size` comes first and nothing follows the last member. With padding at
 * the tail an appended member would not change sizeof, and `size` could not tell the
 * versions apart. layout.py checks that every public struct is named here.
 */
#include <assert.h>
#include <stddef.h>

#include <wsock/wsock.h>

#define GROWS_AT_THE_TAIL(type, last)                                                  \
    static_assert(offsetof(type, size) == 0, #type ": size is not first");             \
    static_assert(sizeof(((type *)0)->size) == sizeof(size_t), #type ": size's type"); \
    static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == sizeof(type),    \
                  #type ": padding behind " #last)

GROWS_AT_THE_TAIL(wsock_close_info, tls_alert);
GROWS_AT_THE_TAIL(wsock_join, joined_user);
GROWS_AT_THE_TAIL(wsock_jwt_rules, now_ms);
GROWS_AT_THE_TAIL(wsock_member, reserved);
GROWS_AT_THE_TAIL(wsock_node, reserved);
GROWS_AT_THE_TAIL(wsock_option_info, reserved);
GROWS_AT_THE_TAIL(wsock_joined, reserved);
GROWS_AT_THE_TAIL(wsock_person, conns);
GROWS_AT_THE_TAIL(wsock_position, offset);
GROWS_AT_THE_TAIL(wsock_publish, reserved);
GROWS_AT_THE_TAIL(wsock_published, reserved);
GROWS_AT_THE_TAIL(wsock_room_message, is_json);
GROWS_AT_THE_TAIL(wsock_rooms_hooks, on_call);
GROWS_AT_THE_TAIL(wsock_state_info, attempt);

int main(void)
{
    return 0;
}
