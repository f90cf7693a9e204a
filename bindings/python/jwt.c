/* SPDX-License-Identifier: MIT */
/* Signed tokens: what takes a struct of the headers. What a token says is read by functions
 * that SWIG wraps. */
#include "native.h"

/* jwt_verify(key, token, audience, issuer, leeway_ms, now_ms): what holds, as a handle, or
 * the number of what is wrong with it. */
static PyObject *jwt_verify(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    wsock_jwt_rules rules = {.size = sizeof rules};
    struct wpy_bytes token = WPY_NO_BYTES;
    PyObject *object, *given;
    wsock_jwt_key *key;
    wsock_jwt *jwt = NULL;
    long long leeway_ms, now_ms;
    int why = 0, r;

    if (!PyArg_ParseTuple(arguments, "OOzzLL", &object, &given, &rules.audience,
                          &rules.issuer, &leeway_ms, &now_ms))
        return NULL;
    key = wpy_pointer(object, WPY_jwt_key);
    if (key == NULL || wpy_bytes_get(&token, given) < 0)
        return NULL;
    rules.leeway_ms = leeway_ms;
    rules.now_ms = now_ms;
    r = wsock_jwt_verify(key, &jwt, &why, token.data, token.len, &rules);
    wpy_bytes_release(&token);
    if (r == WSOCK_EACCESS)
        return PyLong_FromLong(why);
    return r < 0 ? wpy_raise(r, NULL) : wpy_handle(jwt, WPY_jwt);
}

PyMethodDef wpy_jwt_functions[] = {
    {"jwt_verify", jwt_verify, METH_VARARGS,
     "(key, token, audience, issuer, leeway_ms, now_ms): a handle, or what is wrong."},
    {NULL, NULL, 0, NULL},
};
