/* SPDX-License-Identifier: MIT */
/* Signed tokens: what takes a struct of the headers. What a token says is read by functions
 * that SWIG wraps. */
#include "core.h"

/* jwt_verify(key, token, audience, issuer, leeway_ms, now_ms): what holds; or nil, text, code
 * and the number of what is wrong with it. */
static int jwt_verify(lua_State *L)
{
    wsock_jwt_key *key = wlua_check(L, 1, WLUA_jwt_key);
    wsock_jwt_rules rules = {.size = sizeof rules};
    wsock_jwt **handle;
    const char *token;
    size_t len;
    int why = 0, r;

    token = wlua_bytes(L, 2, &len);
    rules.audience = wlua_text(L, 3);
    rules.issuer = wlua_text(L, 4);
    rules.leeway_ms = wlua_integer(L, 5, 0, INT64_MAX);
    rules.now_ms = wlua_integer(L, 6, 0, INT64_MAX);
    handle = wlua_new_handle(L, WLUA_jwt);
    r = wsock_jwt_verify(key, handle, &why, token, len, &rules);
    if (r == 0)
        return 1;
    wlua_fail(L, r);
    if (r != WSOCK_EACCESS)
        return 3;
    lua_pushinteger(L, why);
    return 4;
}

const luaL_Reg wlua_jwt_functions[] = {
    {"jwt_verify", jwt_verify},
    {NULL, NULL},
};
