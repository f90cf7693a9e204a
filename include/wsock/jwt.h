/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Signed tokens: JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, signed with
 * HS256 (a secret that both ends have) or RS256 (the issuer's RSA key), RFC 7518 sections
 * 3.2 and 3.3. Whoever knows an application's users signs for each of them a token that
 * says who that is and, if it likes, which rooms are his; the server that the token is
 * shown to needs nothing but the key.
 *
 * The algorithm is the key's: what a token says of it can only be wrong. Nothing of the
 * claims is read before the signature holds. docs/auth.md tells what claims mean.
 *
 * A build without OpenSSL or without jansson answers WSOCK_ENOTSUP.
 */
#ifndef WSOCK_JWT_H
#define WSOCK_JWT_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What tokens are verified with. It never changes; any number of threads may use it. */
typedef struct wsock_jwt_key wsock_jwt_key;

/** A token that holds. It never changes. */
typedef struct wsock_jwt wsock_jwt;

/** Algorithms. */
enum {
    WSOCK_JWT_HS256 =
        1, /**< HMAC with SHA-256; the key is a secret of 32 bytes or more */
    WSOCK_JWT_RS256 = 2, /**< RSA (PKCS #1 v1.5) with SHA-256; the key is a public one */
};

/** What is wrong with a token: `X(NAME, value, text)`. */
#define WSOCK_JWT_ERROR_MAP(X)                                               \
    X(NONE, 0, "nothing is wrong with the token")                            \
    X(MALFORMED, 1, "the token is malformed")                                \
    X(TOO_LONG, 2, "the token is longer than 8192 bytes")                    \
    X(ALGORITHM, 3, "the token is not signed with the algorithm of the key") \
    X(CRITICAL, 4, "the token demands an extension that is not known here")  \
    X(SIGNATURE, 5, "the signature of the token is wrong")                   \
    X(CLAIMS, 6, "the claims of the token are no JSON object")               \
    X(CLAIM, 7, "a claim of the token has a value that it cannot have")      \
    X(EXPIRED, 8, "the token has expired")                                   \
    X(NOT_YET_VALID, 9, "the token is not valid yet")                        \
    X(ISSUER, 10, "the token is from another issuer")                        \
    X(AUDIENCE, 11, "the token is for another audience")

#define WSOCK_JWT_CONSTANT_(name, value, text) WSOCK_JWT_##name = (value),
enum { WSOCK_JWT_ERROR_MAP(WSOCK_JWT_CONSTANT_) };
#undef WSOCK_JWT_CONSTANT_

/** The text of an error of a token; "unknown error" for another number. @return
 *  (borrowed) static text. Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_jwt_error_text(int jwt_error);

/**
 * Make a key.
 *
 * @param out       (out, owned)
 * @param algorithm WSOCK_JWT_HS256 or WSOCK_JWT_RS256.
 * @param data      (borrowed until return) HS256: the secret, 32 bytes or more (RFC 7518
 *                  section 3.2), copied; a key or a certificate in PEM is refused, since
 *                  who can read it could sign with it. RS256: a public key or a
 *                  certificate in PEM, RSA of 2048 to 16384 bits.
 * @return 0; WSOCK_EINVAL when it is no such key, or another algorithm; WSOCK_ENOTSUP;
 *         WSOCK_ENOMEM. wsock_runtime_error() then says why.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_jwt_key(wsock_runtime *runtime, wsock_jwt_key **out,
                                    int algorithm, const void *data, size_t len);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_jwt_key *wsock_jwt_key_ref(wsock_jwt_key *key);
/** @param key (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_jwt_key_unref(wsock_jwt_key *key);

/** What a token has to say beside a signature that holds. Zero is what is not said. Later
 *  versions may add members at the end. */
typedef struct wsock_jwt_rules {
    size_t size;          /**< set it to sizeof */
    const char *audience; /**< (borrowed until return, nullable) who we are: a token with
                               the claim aud must name it, and one without is refused */
    const char *issuer; /**< (borrowed until return, nullable) the claim iss must be it */
    int64_t leeway_ms;  /**< by so much the issuer's clock may differ from ours */
    int64_t now_ms;     /**< milliseconds since 1970, UTC; 0: by the system's clock */
} wsock_jwt_rules;

/**
 * Judge a token. What is looked at, in this order: the form; alg of the header, which has
 * to be the key's; crit, which may not be there; the signature; then the claims: exp, nbf
 * and iat (RFC 7519 sections 4.1.4 to 4.1.6; a token from the future is not valid yet),
 * iss and aud. A token with the claim aud is refused where no audience is given (section
 * 4.1.3). sub, if it is there, must do as an identity (member.h). Objects that name a
 * member twice, and JSON that nests more than 32 deep, are malformed.
 *
 * @param out   (out, owned)
 * @param why   (out, nullable) WSOCK_JWT_*: with WSOCK_EACCESS what is wrong; 0 when it
 *              holds.
 * @param token (borrowed until return) need not end in NUL.
 * @param rules (borrowed until return, nullable)
 * @return 0; WSOCK_EACCESS when it does not hold; WSOCK_EINVAL also for a size of rules
 *         that is smaller than that of 1.0, and a negative leeway; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes (with RS256 it takes some 50 us). Since: 1.0
 */
WSOCK_API int wsock_jwt_verify(wsock_jwt_key *key, wsock_jwt **out, int *why,
                               const char *token, size_t len,
                               const wsock_jwt_rules *rules);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_jwt *wsock_jwt_ref(wsock_jwt *jwt);
/** @param jwt (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_jwt_unref(wsock_jwt *jwt);

/** The claim sub: who it is for; "" when it does not say. @return (borrowed from jwt)
 *  Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_jwt_subject(const wsock_jwt *jwt);
/** All claims: a JSON object, as it was signed. @return (borrowed from jwt) Thread: any.
 *  Since: 1.0 */
WSOCK_API const char *wsock_jwt_claims(const wsock_jwt *jwt);
/** The claim info, as JSON without blanks: what others may know of who it is for. @return
 *  (borrowed from jwt, nullable) Thread: any. Since: 1.0 */
WSOCK_API const char *wsock_jwt_info(const wsock_jwt *jwt);
/** The claim exp: milliseconds since 1970, UTC, without leeway; 0: it does not end.
 *  Thread: any. Since: 1.0 */
WSOCK_API int64_t wsock_jwt_expires_ms(const wsock_jwt *jwt);

/** What a token may allow. */
enum {
    WSOCK_JWT_JOIN = 1,    /**< to join a room: claim rooms */
    WSOCK_JWT_PUBLISH = 2, /**< to publish in it: claim pub */
    WSOCK_JWT_DIRECT = 3,  /**< to send to identities: not where there is a claim pub, so
                                that nobody goes around it */
};

/**
 * Whether the token allows something in a room: whether the claim that is about it, an
 * array of patterns (pattern.h; at most 256), has one that the room's name matches. A
 * token without the claim forbids nothing; one with an empty array forbids everything.
 *
 * @param what WSOCK_JWT_JOIN, _PUBLISH or _DIRECT.
 * @param room (borrowed until return) a name; with WSOCK_JWT_DIRECT (nullable) and not
 *             looked at.
 * @return 1 or 0; 0 also for what is no name, and another number.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_jwt_allows(const wsock_jwt *jwt, int what, const char *room);

#ifdef __cplusplus
}
#endif

#endif
