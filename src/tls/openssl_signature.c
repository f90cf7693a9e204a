/* SPDX-License-Identifier: MIT */
/*
 * Signatures over OpenSSL. Its queue of errors is a thread's, and other calls look at it
 * to learn why they failed: what fails here leaves none behind.
 */
#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <wsock/error.h>

#include "tls/signature.h"

/* Of an object of OpenSSL's nothing needs to be known here. */
static EVP_PKEY *of(const struct wsi_rsa_key *key)
{
    return (EVP_PKEY *)(void *)(uintptr_t)key;
}

void wsi_secret_wipe(void *secret, size_t len)
{
    OPENSSL_cleanse(secret, len);
}

/* No pass phrase is asked for. */
static int no_phrase(char *out, int size, int rwflag, void *user)
{
    (void)out, (void)size, (void)rwflag, (void)user;
    return -1;
}

static EVP_PKEY *read_certificate(BIO *bio)
{
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_phrase, NULL);
    EVP_PKEY *key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;

    X509_free(certificate);
    return key;
}

static EVP_PKEY *read_key(struct wsi_str pem)
{
    EVP_PKEY *key = NULL;
    BIO *bio;

    if (pem.len > INT_MAX)
        return NULL;
    bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (bio == NULL)
        return NULL;
    key = PEM_read_bio_PUBKEY(bio, NULL, no_phrase, NULL);
    if (key == NULL && BIO_reset(bio) == 1)
        key = read_certificate(bio);
    BIO_free(bio);
    return key;
}

int wsi_rsa_key_new(struct wsi_rsa_key **out, const char **why, struct wsi_str pem)
{
    EVP_PKEY *key = read_key(pem);
    int bits;

    ERR_clear_error();
    if (key == NULL) {
        *why = "it is no public key and no certificate in PEM";
        return WSOCK_EINVAL;
    }
    bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        *why = "it is no key of RSA";
    else if (bits < WSI_RSA_BITS_MIN || bits > WSI_RSA_BITS_MAX)
        *why = "a key of RSA has 2048 to 16384 bits";
    else
        *why = NULL;
    if (*why != NULL) {
        EVP_PKEY_free(key);
        return WSOCK_EINVAL;
    }
    *out = (struct wsi_rsa_key *)(void *)key;
    return 0;
}

void wsi_rsa_key_free(struct wsi_rsa_key *key)
{
    EVP_PKEY_free(of(key));
}

int wsi_rsa_verify(const struct wsi_rsa_key *key, struct wsi_str data,
                   struct wsi_str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int r = WSOCK_ENOMEM;

    /* PKCS #1 v1.5 is what a context of an RSA key begins with. */
    if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, of(key)) == 1)
        r = EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                             (const unsigned char *)data.ptr, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return r;
}

int wsi_hmac_verify(struct wsi_str secret, struct wsi_str data, struct wsi_str signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int r = WSOCK_ENOMEM;

    if (secret.len <= INT_MAX &&
        HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)data.ptr,
             data.len, mac, &len) != NULL)
        r = signature.len == len && CRYPTO_memcmp(signature.ptr, mac, len) == 0;
    ERR_clear_error();
    wsi_secret_wipe(mac, sizeof mac);
    return r;
}
