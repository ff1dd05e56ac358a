/* SPDX-License-Identifier: MIT */
/*
 * The PAM module, whole, with the fuzzer's input in the part of everybody it talks to: libpam, the
 * application's conversation, the dynamic linker and pam_exec. Aborts when a promise is broken:
 *
 * - PAM_SUCCESS comes only from VERIFY's PAM_SUCCESS, or truly from a public key that sshd reports.
 * - PAM_IGNORE comes only from GATE's PAM_SUCCESS, or from a line with `combined`.
 * - PAM_AUTHTOK and PAM's environment are put back on every way out, or the answer is no.
 * - VERIFY never sees the password as a code, nor one answer twice in a row.
 * - Nobody is asked more often than `tries`, nor again after an end of the conversation, nor for a
 *   code where `combined` has kept one; and that one is tried once.
 * - Every copy of a password or code is wiped before it is freed, and freed.
 *
 * Built with -fsanitize=fuzzer it is a libFuzzer target. With -DSTANDALONE it makes up its own
 * inputs, as many as its argument says: no clang needed.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#define GATE "/usr/libexec/pam-totp/gate"
#define VERIFY "/usr/libexec/pam-totp/verify"
#define PAM_EXEC "$ORIGIN/pam_exec.so"
#define MOST_SECRETS 64
#define NAME "LD_TRACE_LOADED_OBJECTS"
#define VARIABLE NAME "=1"
#define promise(holds) ((holds) ? (void)0 : broken(#holds, __LINE__))

struct pam_handle {
	const uint8_t *input;
	size_t left;
	char *authtok; /* what PAM_AUTHTOK holds */
	char *kept; /* what PAM_OLDAUTHTOK holds */
	char *service;
	char *auth_info;
	char *typed; /* the last answer, or what was kept or split */
	int prompts;
	int passwords; /* how often a password was asked for */
	int gate; /* the last answer of each, -1: not asked */
	int verify;
	int verified; /* how often VERIFY was asked */
	bool combined, debug;
	char *verified_last;
	const char *password; /* what PAM_AUTHTOK held at the beginning */
	bool ended; /* the conversation failed, nobody answered, or the answer was the password */
	bool answered;
	bool restore_failed; /* the last that was set as PAM_AUTHTOK is not there */
	bool environment_failed;
	bool linked;
	bool hidden; /* what PAM's environment holds besides sshd's report */
};

static struct pam_handle *current;
static struct { char *at; size_t length; } secrets[MOST_SECRETS];

static void broken(const char *what, int line)
{
	fprintf(stderr, "module.c:%d: promise broken: %s\n", line, what);
	abort();
}

static uint8_t next_byte(void)
{
	if (current->left == 0)
		return 0;
	current->left--;
	return *current->input++;
}

/* Up to 1023 bytes without NUL; NULL now and then. */
static char *next_text(void)
{
	uint8_t first = next_byte();
	size_t length = first == 255 ? 1023 : first % 64;

	if (first == 254)
		return NULL;
	char *text = malloc(length + 1);
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = first == 255 ? 'x' : next_byte();
		text[i] = byte != 0 ? (char)byte : '\n';
	}
	text[length] = '\0';
	return text;
}

/* A text, now and then with digits at its end. */
static char *next_password(void)
{
	char *text = next_text();
	size_t digits = next_byte() % 12, length = text != NULL ? strlen(text) : 0;

	for (size_t i = 1; i <= digits && i <= length; i++)
		text[length - i] = '0' + next_byte() % 10;
	return text;
}

static char *remember(char *secret)
{
	for (int i = 0; secret != NULL && i < MOST_SECRETS; i++)
		if (secrets[i].at == NULL) {
			secrets[i].at = secret;
			secrets[i].length = strlen(secret);
			return secret;
		}
	promise(secret == NULL);
	return secret;
}

/* In the module's place for free: what was secret must have been wiped. */
static void checked_free(void *memory)
{
	for (int i = 0; memory != NULL && i < MOST_SECRETS; i++)
		if (secrets[i].at == memory) {
			for (size_t byte = 0; byte < secrets[i].length; byte++)
				promise(secrets[i].at[byte] == '\0');
			secrets[i].at = NULL;
		}
	free(memory);
}

static char *checked_strdup(const char *text)
{
	if (next_byte() == 1)
		return NULL; /* no memory */
	return remember(strdup(text));
}

static char *checked_strndup(const char *text, size_t length)
{
	if (next_byte() == 1)
		return NULL;
	return remember(strndup(text, length));
}

static int answer(void)
{
	return next_byte() % 33; /* the 32 codes of PAM, and one that is none */
}

static int fake_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	bool typed = strcmp(argv[5], GATE) == 0 && pamh->kept != NULL;
	promise(argc == (pamh->combined || typed ? 7 : 6) && strcmp(argv[0], "quiet") == 0);
	promise(strcmp(argv[1], pamh->debug ? "debug" : "quiet_log") == 0);
	promise(strcmp(argv[2], "stdout") == 0 && strcmp(argv[3], "seteuid") == 0);
	promise(pamh->hidden); /* programs see no variable but sshd's */
	bool with_password = strcmp(argv[4], "expose_authtok") == 0;
	promise(with_password || strcmp(argv[4], "quiet") == 0);
	promise(with_password == (!pamh->combined && pamh->authtok != NULL));
	if (strcmp(argv[5], GATE) == 0) {
		promise(pamh->gate == -1 && pamh->prompts == 0 && pamh->passwords == 0);
		promise(!pamh->combined || strcmp(argv[6], "look") == 0);
		promise(!typed || pamh->combined || strcmp(argv[6], "combined") == 0);
		return pamh->gate = answer();
	}
	promise(with_password && strcmp(argv[5], VERIFY) == 0);
	promise(pamh->gate != PAM_SUCCESS && pamh->verify != PAM_SUCCESS && !pamh->combined);
	pamh->verified++;
	if (pamh->prompts > 0 && pamh->answered) {
		const char *password = pamh->password, *last = pamh->verified_last;
		promise(password == NULL || *password == '\0' || strcmp(pamh->typed, password) != 0);
		bool asks = strcasecmp(pamh->typed, "sms") == 0 || strcasecmp(pamh->typed, "mail") == 0;
		promise(last == NULL || asks || strcmp(pamh->typed, last) != 0);
		free(pamh->verified_last);
		pamh->verified_last = strdup(pamh->typed);
	}
	/* Where nobody answered, an empty code. */
	promise(strcmp(pamh->authtok, pamh->answered ? pamh->typed : "") == 0);
	int result = answer();
	pamh->verify = *pamh->authtok != '\0' ? result : PAM_AUTH_ERR; /* no code is never right */
	return result;
}

static int fake_get_item(const pam_handle_t *pamh, int item, const void **value)
{
	*value = item == PAM_SERVICE ? pamh->service : item == PAM_AUTHTOK ? pamh->authtok :
		 item == PAM_OLDAUTHTOK ? pamh->kept : NULL;
	return PAM_SUCCESS;
}

static int fake_set_item(pam_handle_t *pamh, int item, const void *value)
{
	bool is_kept = item == PAM_OLDAUTHTOK;
	char **place = is_kept ? &pamh->kept : &pamh->authtok;
	bool full = next_byte() == 1; /* no memory; then libpam has nothing there any more */

	promise(is_kept || item == PAM_AUTHTOK);
	if (!is_kept)
		pamh->restore_failed = full;
	char *copy = value != NULL && !full ? strdup(value) : NULL;
	if (*place != NULL)
		memset(*place, 'x', strlen(*place)); /* nobody has a use for the old one any more */
	free(*place);
	*place = copy;
	return full ? PAM_BUF_ERR : PAM_SUCCESS;
}

static int fake_get_authtok(pam_handle_t *pamh, int item, const char **value, const char *prompt)
{
	promise(item == PAM_AUTHTOK && prompt == NULL && pamh->combined && pamh->gate > PAM_SUCCESS);
	promise(++pamh->passwords == 1);
	if (pamh->authtok == NULL && next_byte() % 4 != 1)
		pamh->authtok = next_password();
	pamh->typed = pamh->authtok != NULL ? strdup(pamh->authtok) : NULL;
	*value = pamh->authtok;
	return pamh->authtok != NULL ? PAM_SUCCESS : PAM_AUTHTOK_ERR;
}

static int fake_prompt(pam_handle_t *pamh, int style, char **response, const char *format, ...)
{
	int status = next_byte() % 16;

	promise(style == PAM_PROMPT_ECHO_ON && strcmp(format, "%s") == 0);
	promise(!pamh->ended && !pamh->combined && pamh->kept == NULL);
	pamh->prompts++;
	uint8_t which = next_byte() % 8;
	char *last = pamh->typed;
	if (which == 1 && last != NULL)
		pamh->typed = strdup(last);
	else if (which == 2 && pamh->password != NULL)
		pamh->typed = strdup(pamh->password);
	else if (which == 3)
		pamh->typed = strdup(next_byte() % 2 ? "sms" : "Mail");
	else
		pamh->typed = next_text();
	free(last);
	*response = pamh->typed != NULL ? remember(strdup(pamh->typed)) : NULL;
	pamh->ended = status == 1 || pamh->typed == NULL;
	pamh->answered = !pamh->ended;
	if (pamh->answered && pamh->password != NULL && *pamh->password != '\0')
		pamh->ended = strcmp(pamh->typed, pamh->password) == 0;
	pamh->answered = !pamh->ended;
	return status == 1 ? PAM_CONV_ERR : PAM_SUCCESS; /* even then with an answer */
}

static const char *fake_getenv(pam_handle_t *pamh, const char *name)
{
	return strcmp(name, "SSH_AUTH_INFO_0") == 0 ? pamh->auth_info : NULL;
}

static char **fake_getenvlist(pam_handle_t *pamh)
{
	char **list = calloc(3, sizeof *list), **next = list;

	if (next_byte() == 1)
		return free(list), NULL; /* no memory */
	if (pamh->auth_info != NULL && asprintf(next++, "SSH_AUTH_INFO_0=%s", pamh->auth_info) < 0)
		abort();
	*next = strdup(VARIABLE);
	return list;
}

static int fake_putenv(pam_handle_t *pamh, const char *name_value)
{
	promise(strncmp(name_value, "SSH_AUTH_INFO_0", 15) != 0); /* never taken away */
	bool hides = strchr(name_value, '=') == NULL;
	promise(strcmp(name_value, hides ? NAME : VARIABLE) == 0);
	if (next_byte() == 1) {
		pamh->environment_failed = true;
		return PAM_BUF_ERR;
	}
	pamh->hidden = hides;
	return PAM_SUCCESS;
}

static void fake_syslog(const pam_handle_t *pamh, int priority, const char *format, ...)
{
	(void)pamh;
	(void)priority;
	(void)format;
}

static void *fake_dlopen(const char *path, int flags)
{
	(void)flags;
	promise(strcmp(path, PAM_EXEC) == 0 && !current->linked);
	if (next_byte() % 8 == 1)
		return NULL;
	current->linked = true;
	return current;
}

static void *fake_dlsym(void *library, const char *name)
{
	promise(library == current && strcmp(name, "pam_sm_authenticate") == 0);
	return next_byte() % 8 == 1 ? NULL : (void *)fake_authenticate;
}

static int fake_dlclose(void *library)
{
	promise(library == current && current->linked);
	current->linked = false;
	return 0;
}

static char *fake_dlerror(void)
{
	return "no such file";
}

#define pam_get_item fake_get_item
#define pam_set_item fake_set_item
#define pam_get_authtok fake_get_authtok
#define pam_prompt fake_prompt
#define pam_getenv fake_getenv
#define pam_putenv fake_putenv
#define pam_getenvlist fake_getenvlist
#define pam_syslog fake_syslog
#define dlopen fake_dlopen
#define dlsym fake_dlsym
#define dlclose fake_dlclose
#define dlerror fake_dlerror
#undef strdup
#undef strndup
#define strdup checked_strdup
#define strndup checked_strndup
#define free checked_free
#include "../../pam_totp/pam/pam_totp.c"
#undef strdup
#undef strndup
#undef free

static const char *OPTIONS[] = {
	"tries=1", "tries=9", "tries=3", "tries=0", "tries=10", "tries=", "tries=+1", "prompt=Code: ",
	"prompt=", "prompt=%s%n", "publickey_passed", "publickey_passe", "debug", "debug=1", "", "tries=5", "tries",
	"combined", "combined=6", "combined=7", "combined=8", "combined=", "combined=5", "combined=9",
	"combined=66", "combinedd", "combined", "combined=8", "prompt=combined", "tries=2", "tries=[1]",
	"?ombined", "combined=\xff",
};
#define OPTION_COUNT (sizeof OPTIONS / sizeof *OPTIONS)

static const char *METHODS[] = {
	"password\npublickey ssh-rsa A", "publickey ssh-rsa A", "publickeys a", "password\n publickey ",
};

static bool is_good(const char *option, int *tries, bool *publickey, size_t *combined, bool *debug)
{
	size_t length = strlen(option);

	if (length == 7 && strncmp(option, "tries=", 6) == 0 && option[6] > '0' && option[6] <= '9')
		*tries = option[6] - '0';
	else if (strcmp(option, "publickey_passed") == 0)
		*publickey = true;
	else if (strcmp(option, "combined") == 0)
		*combined = 6;
	else if (strcmp(option, "debug") == 0)
		*debug = true;
	else if (length == 10 && strncmp(option, "combined=", 9) == 0 && option[9] >= '6' &&
		 option[9] <= '8')
		*combined = (size_t)(option[9] - '0');
	else
		return strncmp(option, "prompt=", 7) == 0;
	return true;
}

static bool is_refusal(int result)
{
	return result == PAM_AUTH_ERR || result == PAM_BUF_ERR || result == PAM_AUTHINFO_UNAVAIL;
}

/* What a line with combined made of what was typed. */
static void check_split(const struct pam_handle *pamh, size_t digits, int result)
{
	const char *typed = pamh->typed;

	if (pamh->gate <= PAM_SUCCESS || typed == NULL || pamh->environment_failed) {
		promise(is_refusal(result) == (pamh->gate != PAM_SUCCESS || pamh->environment_failed));
		promise(is_refusal(result) || result == PAM_IGNORE);
		promise(pamh->kept == NULL);
		return;
	}
	if (result != PAM_IGNORE) {
		promise(result == PAM_BUF_ERR);
		return;
	}
	size_t length = strlen(typed), end = length;
	while (end > 0 && length - end < digits && typed[end - 1] >= '0' && typed[end - 1] <= '9')
		end--;
	bool has_code = length - end == digits && end > 0;
	promise(strcmp(pamh->kept, has_code ? typed + end : "") == 0);
	promise(strncmp(pamh->authtok, typed, has_code ? end : length) == 0);
	promise(strlen(pamh->authtok) == (has_code ? end : length));
}

static bool key_reported(const struct pam_handle *pamh)
{
	if (pamh->service == NULL || strcmp(pamh->service, "sshd") != 0 || pamh->auth_info == NULL)
		return false;
	return strncmp(pamh->auth_info, "publickey ", 10) == 0 ||
	       strstr(pamh->auth_info, "\npublickey ") != NULL;
}

static char *copy_of(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pam_handle pamh = {.input = data, .left = size, .gate = -1, .verify = -1};
	const char *argv[4];
	int argc, tries = 3;
	size_t combined = 0;
	bool good = true, publickey = false;

	current = &pamh;
	argc = next_byte() % 4;
	for (int i = 0; i < argc; i++) {
		argv[i] = OPTIONS[next_byte() % OPTION_COUNT];
		good = is_good(argv[i], &tries, &publickey, &combined, &pamh.debug) && good;
	}
	pamh.combined = combined != 0;
	pamh.service = next_byte() % 4 == 0 ? next_text() : strdup("sshd");
	pamh.auth_info = next_byte() % 2 == 0 ? next_text() : strdup(METHODS[next_byte() % 4]);
	pamh.authtok = next_password();
	/* What a line with combined has left; to such a line itself libpam has left nothing. */
	pamh.kept = !pamh.combined && next_byte() % 4 == 1 ? next_text() : NULL;
	bool kept = pamh.kept != NULL;
	if (kept) {
		pamh.typed = strdup(pamh.kept);
		pamh.answered = pamh.typed[0] != '\0';
	}
	char *password = copy_of(pamh.authtok);
	pamh.password = password;

	int result = pam_sm_authenticate(&pamh, 0, argc, argv);

	if (!good)
		promise(result == PAM_SERVICE_ERR && pamh.gate == -1);
	else if (publickey)
		promise(pamh.gate == -1 && result == (key_reported(&pamh) ? PAM_SUCCESS : PAM_AUTH_ERR));
	else if (combined != 0 && !pamh.restore_failed)
		check_split(&pamh, combined, result);
	else if (result == PAM_SUCCESS)
		promise(pamh.verify == PAM_SUCCESS && pamh.answered && !pamh.restore_failed);
	else if (result == PAM_IGNORE)
		promise(pamh.gate == PAM_SUCCESS);
	else
		promise(is_refusal(result) && (pamh.gate != PAM_SUCCESS || pamh.environment_failed));
	promise(!pamh.environment_failed || (result != PAM_SUCCESS && result != PAM_IGNORE));
	promise(pamh.prompts <= tries && !pamh.linked);
	promise(!pamh.hidden || pamh.environment_failed);
	promise(!kept || (pamh.prompts == 0 && pamh.verified <= 1));
	promise(!kept || pamh.verified == 0 || pamh.kept == NULL || pamh.kept[0] == '\0');
	if (!pamh.restore_failed && !(pamh.combined && pamh.passwords > 0))
		promise(password == NULL ? pamh.authtok == NULL
					 : pamh.authtok != NULL && strcmp(pamh.authtok, password) == 0);
	for (int i = 0; i < MOST_SECRETS; i++)
		promise(secrets[i].at == NULL);

	result = pam_sm_setcred(&pamh, 0, argc, argv);
	if (!good)
		promise(result == PAM_SERVICE_ERR);
	else if (publickey)
		promise(result == (key_reported(&pamh) ? PAM_SUCCESS : PAM_AUTH_ERR));
	else
		promise(result == PAM_SUCCESS);
	free(password);
	free(pamh.authtok);
	free(pamh.kept);
	free(pamh.service);
	free(pamh.auth_info);
	free(pamh.typed);
	free(pamh.verified_last);
	return 0;
}

#ifdef STANDALONE
#define INPUT_BYTES 256
#define ZEROS 9
#include "standalone.h"
#endif
