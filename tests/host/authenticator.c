/* SPDX-License-Identifier: MIT */
/*
 * A security key in software for pam_u2f, preloaded before libfido2: that finds one device, and speaks
 * to it as to a U2F key (CTAPHID, and FIDO U2F Raw Message Formats). Its P-256 key is the PEM file
 * AUTHENTICATOR_KEY, its key handle AUTHENTICATOR_HANDLE, and it is always touched. What it was asked
 * is appended to AUTHENTICATOR_LOG: `look` or `sign`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libfido2 and libcrypto, without their headers, which nothing else here needs. */
typedef struct fido_dev fido_dev_t;
typedef struct fido_dev_info fido_dev_info_t;
typedef struct fido_dev_io {
	void *(*open)(const char *);
	void (*close)(void *);
	int (*read)(void *, unsigned char *, size_t, int);
	int (*write)(void *, const unsigned char *, size_t);
} fido_dev_io_t;
extern int fido_dev_info_set(fido_dev_info_t *, size_t, const char *, const char *, const char *,
			     const fido_dev_io_t *, const void *);
extern int fido_dev_set_io_functions(fido_dev_t *, const fido_dev_io_t *);
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
extern EVP_PKEY *PEM_read_PrivateKey(FILE *, EVP_PKEY **, void *, void *);
extern const void *EVP_sha256(void);
extern EVP_MD_CTX *EVP_MD_CTX_new(void);
extern int EVP_DigestSignInit(EVP_MD_CTX *, void *, const void *, void *, EVP_PKEY *);
extern int EVP_DigestSign(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);

enum { REPORT = 64, INIT = 0x86, MESSAGE = 0x83, HASH = 32, COUNTER = 4 };

/* One command at a time: what came, and what is read of the answer. */
static uint8_t request[1024], answer[1024];
static size_t expected, come, length, told;
static uint8_t channel[4], command, sequence;

static void note(const char *word)
{
	FILE *file = fopen(getenv("AUTHENTICATOR_LOG"), "ae");

	if (file != NULL) {
		fprintf(file, "%s\n", word);
		fclose(file);
	}
}

static void status(uint16_t word)
{
	answer[length++] = (uint8_t)(word >> 8);
	answer[length++] = (uint8_t)word;
}

/* Over the application, a touch, a counter of 1, and the challenge. */
static void sign(const uint8_t *challenge, const uint8_t *application)
{
	uint8_t text[HASH + 1 + COUNTER + HASH] = {0};
	size_t room = sizeof(answer) - 16;
	FILE *file = fopen(getenv("AUTHENTICATOR_KEY"), "re");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	fclose(file);
	memcpy(text, application, HASH);
	text[HASH] = text[HASH + COUNTER] = 1;
	memcpy(text + HASH + 1 + COUNTER, challenge, HASH);
	memcpy(answer, text + HASH, 1 + COUNTER);
	EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key);
	EVP_DigestSign(context, answer + 1 + COUNTER, &room, text, sizeof(text));
	length = 1 + COUNTER + room;
	note("sign");
	status(0x9000);
}

static void obey(void)
{
	const char *handle = getenv("AUTHENTICATOR_HANDLE");
	const uint8_t *data = request + 7; /* of an APDU of extended length */

	length = 0;
	if (request[1] == 3) {
		memcpy(answer, "U2F_V2", 6);
		length = 6;
		status(0x9000);
	} else if (request[1] != 2) {
		status(0x6d00);
	} else if (data[2 * HASH] != strlen(handle) || memcmp(data + 2 * HASH + 1, handle, strlen(handle)) != 0) {
		note("look");
		status(0x6a80);
	} else if (request[2] == 7) { /* it knows the handle, and wants to be touched */
		note("look");
		status(0x6985);
	} else {
		sign(data, data + HASH);
	}
}

static void begin(const uint8_t *report)
{
	memcpy(channel, report, sizeof(channel));
	command = report[4];
	expected = (size_t)report[5] << 8 | report[6];
	come = sequence = 0;
	told = 0;
}

static void finish(void)
{
	if (command == INIT) { /* the nonce, a channel, versions, and no CTAP2 */
		memcpy(answer, request, 8);
		memcpy(answer + 8, "\1\2\3\4\2\0\0\0\0", 9);
		length = 17;
	} else if (command == MESSAGE) {
		obey();
	} else {
		length = 0;
	}
}

static int write_report(void *handle, const unsigned char *data, size_t size)
{
	const uint8_t *report = data + 1; /* the number of the report, 0, comes first */
	size_t head = report[4] & 0x80 ? 7 : 5;

	(void)handle;
	if (report[4] & 0x80)
		begin(report);
	for (size_t i = head; i < REPORT && come < expected && come < sizeof(request); i++)
		request[come++] = report[i];
	if (come >= expected)
		finish();
	return (int)size;
}

static int read_report(void *handle, unsigned char *report, size_t size, int milliseconds)
{
	size_t head = told == 0 ? 7 : 5, left = length - told;

	(void)handle, (void)milliseconds;
	memset(report, 0, size);
	memcpy(report, channel, sizeof(channel));
	report[4] = told == 0 ? command : sequence++;
	if (told == 0) {
		report[5] = (uint8_t)(length >> 8);
		report[6] = (uint8_t)length;
	}
	left = left < REPORT - head ? left : REPORT - head;
	memcpy(report + head, answer + told, left);
	told += left;
	return (int)size;
}

static void *open_device(const char *path)
{
	(void)path;
	return request;
}

static void close_device(void *handle)
{
	(void)handle;
}

static const fido_dev_io_t io = {open_device, close_device, read_report, write_report};

int fido_dev_info_manifest(fido_dev_info_t *list, size_t room, size_t *found)
{
	*found = room > 0;
	return fido_dev_info_set(list, 0, "/dev/software", "software", "key", &io, NULL);
}

int fido_dev_open(fido_dev_t *device, const char *path)
{
	int (*open_it)(fido_dev_t *, const char *);

	*(void **)&open_it = dlsym(RTLD_NEXT, "fido_dev_open");
	fido_dev_set_io_functions(device, &io);
	return open_it(device, path);
}
