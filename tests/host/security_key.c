/* SPDX-License-Identifier: MIT */
/*
 * A security key in software, as OpenSSH loads one (SecurityKeyProvider, its sk-api.h): ed25519, and
 * the private key is the key handle. It says that it was touched, unless SECURITY_KEY_UNTOUCHED is
 * in the environment; that a PIN was entered only if SECURITY_KEY_PIN is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 0x000a0000
#define ED25519 1
#define TOUCHED 0x01
#define VERIFIED 0x04
#define KEY_BYTES 32
#define HASH_BYTES 32
#define SIGNATURE_BYTES 64

/* libcrypto, without its headers, which nothing else here needs. */
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
enum { EVP_PKEY_ED25519 = 1087 };
extern EVP_PKEY *EVP_PKEY_new_raw_private_key(int, void *, const unsigned char *, size_t);
extern int EVP_PKEY_get_raw_public_key(const EVP_PKEY *, unsigned char *, size_t *);
extern EVP_MD_CTX *EVP_MD_CTX_new(void);
extern int EVP_DigestSignInit(EVP_MD_CTX *, void *, void *, void *, EVP_PKEY *);
extern int EVP_DigestSign(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
extern unsigned char *SHA256(const unsigned char *, size_t, unsigned char *);
extern int RAND_bytes(unsigned char *, int);

struct enrolled {
	uint8_t flags;
	uint8_t *public_key;
	size_t public_key_len;
	uint8_t *key_handle;
	size_t key_handle_len;
	uint8_t *signature;
	size_t signature_len;
	uint8_t *attestation_cert;
	size_t attestation_cert_len;
	uint8_t *authdata;
	size_t authdata_len;
};

struct signed_by_key {
	uint8_t flags;
	uint32_t counter;
	uint8_t *sig_r;
	size_t sig_r_len;
	uint8_t *sig_s;
	size_t sig_s_len;
};

uint32_t sk_api_version(void)
{
	return VERSION;
}

int sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len, const char *application,
	      uint8_t flags, const char *pin, void *options, struct enrolled **made)
{
	size_t length = KEY_BYTES;

	(void)challenge, (void)challenge_len, (void)application, (void)pin, (void)options;
	if (alg != ED25519)
		return -2;
	*made = calloc(1, sizeof(**made));
	(*made)->flags = flags;
	(*made)->key_handle = malloc(KEY_BYTES);
	(*made)->key_handle_len = KEY_BYTES;
	(*made)->public_key = malloc(KEY_BYTES);
	(*made)->public_key_len = KEY_BYTES;
	(*made)->signature = calloc(1, 1);
	(*made)->attestation_cert = calloc(1, 1);
	(*made)->authdata = calloc(1, 1);
	if (RAND_bytes((*made)->key_handle, KEY_BYTES) != 1)
		return -1;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (*made)->key_handle, KEY_BYTES);
	return EVP_PKEY_get_raw_public_key(key, (*made)->public_key, &length) == 1 ? 0 : -1;
}

int sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application,
	    const uint8_t *key_handle, size_t key_handle_len, uint8_t flags, const char *pin, void *options,
	    struct signed_by_key **made)
{
	unsigned char text[HASH_BYTES + 1 + 4 + HASH_BYTES] = {0};
	size_t length = SIGNATURE_BYTES;

	(void)flags, (void)pin, (void)options;
	if (alg != ED25519)
		return -2;
	*made = calloc(1, sizeof(**made));
	(*made)->flags = getenv("SECURITY_KEY_UNTOUCHED") ? 0 : TOUCHED;
	(*made)->flags |= getenv("SECURITY_KEY_PIN") ? VERIFIED : 0;
	(*made)->sig_r = malloc(SIGNATURE_BYTES);
	(*made)->sig_r_len = SIGNATURE_BYTES;
	SHA256((const unsigned char *)application, strlen(application), text);
	text[HASH_BYTES] = (*made)->flags; /* a counter of 0 follows */
	SHA256(data, data_len, text + HASH_BYTES + 1 + 4);
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key_handle, key_handle_len);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1)
		return -1;
	return EVP_DigestSign(context, (*made)->sig_r, &length, text, sizeof(text)) == 1 ? 0 : -1;
}

int sk_load_resident_keys(const char *pin, void *options, void *keys, size_t *count)
{
	(void)pin, (void)options, (void)keys;
	*count = 0;
	return -2;
}
