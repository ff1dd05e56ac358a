/*
 * The PAM module, whole, with the fuzzer's input in the part of everybody it talks to: libpam, the
 * application's conversation, the dynamic linker and pam_exec. Aborts when a promise is broken:
 *
 * - PAM_SUCCESS comes only from VERIFY's PAM_SUCCESS, or truly from a public key that sshd reports.
 * - PAM_IGNORE comes only from GATE's PAM_SUCCESS.
 * - PAM_AUTHTOK holds the password again on every way out, or the answer is no.
 * - Nobody is asked more often than `tries`, nor again after an end of the conversation.
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
#define MOST_SECRETS 64
#define promise(holds) ((holds) ? (void)0 : broken(#holds, __LINE__))

struct pam_handle {
	const uint8_t *input;
	size_t left;
	char *authtok; /* what PAM_AUTHTOK holds */
	char *service;
	char *auth_info;
	char *typed; /* the last answer */
	int prompts;
	int gate; /* the last answer of each, -1: not asked */
	int verify;
	bool ended; /* the conversation failed or nobody answered */
	bool asked; /* and PAM_AUTHTOK not yet set to the answer */
	bool answered;
	bool restore_failed;
	bool linked;
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

static int answer(void)
{
	return next_byte() % 33; /* the 32 codes of PAM, and one that is none */
}

static int fake_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	promise(argc >= 5 && strcmp(argv[0], "quiet") == 0 && strcmp(argv[3], "seteuid") == 0);
	if (argc == 5) {
		promise(strcmp(argv[4], GATE) == 0 && pamh->gate == -1 && pamh->prompts == 0);
		return pamh->gate = answer();
	}
	promise(argc == 6 && strcmp(argv[4], "expose_authtok") == 0 && strcmp(argv[5], VERIFY) == 0);
	promise(pamh->gate != PAM_SUCCESS && pamh->verify != PAM_SUCCESS);
	/* Where nobody answered, an empty code. */
	promise(strcmp(pamh->authtok, pamh->answered ? pamh->typed : "") == 0);
	return pamh->verify = answer();
}

static int fake_get_item(const pam_handle_t *pamh, int item, const void **value)
{
	int status = answer();

	if (status != PAM_SUCCESS && status < 8)
		return status;
	*value = item == PAM_SERVICE ? pamh->service : item == PAM_AUTHTOK ? pamh->authtok : NULL;
	return PAM_SUCCESS;
}

static int fake_set_item(pam_handle_t *pamh, int item, const void *value)
{
	bool is_answer = pamh->asked;

	pamh->asked = false;
	promise(item == PAM_AUTHTOK);
	if (next_byte() == 1) {
		pamh->restore_failed = pamh->restore_failed || !is_answer;
		pamh->ended = true;
		return PAM_BUF_ERR;
	}
	free(pamh->authtok);
	pamh->authtok = value != NULL ? strdup(value) : NULL;
	return PAM_SUCCESS;
}

static int fake_prompt(pam_handle_t *pamh, int style, char **response, const char *format, ...)
{
	int status = next_byte() % 16;

	promise(style == PAM_PROMPT_ECHO_ON && strcmp(format, "%s") == 0);
	promise(!pamh->ended);
	pamh->prompts++;
	free(pamh->typed);
	pamh->typed = next_text();
	*response = pamh->typed != NULL ? remember(strdup(pamh->typed)) : NULL;
	pamh->ended = status == 1 || pamh->typed == NULL;
	pamh->answered = !pamh->ended;
	pamh->asked = true;
	return status == 1 ? PAM_CONV_ERR : PAM_SUCCESS; /* even then with an answer */
}

static const char *fake_getenv(pam_handle_t *pamh, const char *name)
{
	return strcmp(name, "SSH_AUTH_INFO_0") == 0 ? pamh->auth_info : NULL;
}

__attribute__((unused)) static int fake_putenv(pam_handle_t *pamh, const char *name_value)
{
	promise(pamh->gate == -1 && strchr(name_value, '=') == NULL); /* only ever takes one away */
	return PAM_SUCCESS;
}

static void fake_syslog(const pam_handle_t *pamh, int priority, const char *format, ...)
{
	(void)pamh;
	(void)priority;
	(void)format;
}

static int fake_dladdr(const void *address, Dl_info *info)
{
	(void)address;
	info->dli_fname = next_byte() % 8 == 1 ? "pam_totp.so" : "/lib/security/pam_totp.so";
	return next_byte() % 8 != 1;
}

static void *fake_dlopen(const char *path, int flags)
{
	(void)flags;
	promise(strcmp(path, "/lib/security/pam_exec.so") == 0 && !current->linked);
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
#define pam_prompt fake_prompt
#define pam_getenv fake_getenv
#define pam_putenv fake_putenv
#define pam_syslog fake_syslog
#define dladdr fake_dladdr
#define dlopen fake_dlopen
#define dlsym fake_dlsym
#define dlclose fake_dlclose
#define dlerror fake_dlerror
#undef strdup
#define strdup checked_strdup
#define free checked_free
#include "../../pam_totp/module/pam_totp.c"
#undef strdup
#undef free

static const char *OPTIONS[] = {
	"tries=1", "tries=9", "tries=3", "tries=0", "tries=10", "tries=", "tries=+1", "prompt=Code: ",
	"prompt=", "prompt=%s%n", "publickey_passed", "publickey_passe", "debug", "", "tries=5", "tries",
};

static const char *METHODS[] = {
	"password\npublickey ssh-rsa A", "publickey ssh-rsa A", "publickeys a", "password\n publickey ",
};

static bool is_good(const char *option, int *tries, bool *publickey)
{
	if (strlen(option) == 7 && strncmp(option, "tries=", 6) == 0 && option[6] > '0' && option[6] <= '9')
		*tries = option[6] - '0';
	else if (strcmp(option, "publickey_passed") == 0)
		*publickey = true;
	else
		return strncmp(option, "prompt=", 7) == 0;
	return true;
}

static bool key_reported(const struct pam_handle *pamh)
{
	if (pamh->service == NULL || strcmp(pamh->service, "sshd") != 0 || pamh->auth_info == NULL)
		return false;
	return strncmp(pamh->auth_info, "publickey ", 10) == 0 ||
	       strstr(pamh->auth_info, "\npublickey ") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pam_handle pamh = {.input = data, .left = size, .gate = -1, .verify = -1};
	const char *argv[4];
	int argc, tries = 3;
	bool good = true, publickey = false;

	current = &pamh;
	argc = next_byte() % 4;
	for (int i = 0; i < argc; i++) {
		argv[i] = OPTIONS[next_byte() % 16];
		good = is_good(argv[i], &tries, &publickey) && good;
	}
	pamh.service = next_byte() % 4 == 0 ? next_text() : strdup("sshd");
	pamh.auth_info = next_byte() % 2 == 0 ? next_text() : strdup(METHODS[next_byte() % 4]);
	pamh.authtok = next_text();
	char *password = pamh.authtok != NULL ? strdup(pamh.authtok) : NULL;

	int result = pam_sm_authenticate(&pamh, 0, argc, argv);

	if (!good)
		promise(result == PAM_SERVICE_ERR && pamh.gate == -1);
	else if (publickey)
		promise(pamh.gate == -1 && (result == PAM_AUTH_ERR ||
					    (result == PAM_SUCCESS && key_reported(&pamh))));
	else if (result == PAM_SUCCESS)
		promise(pamh.verify == PAM_SUCCESS && pamh.answered && !pamh.restore_failed);
	else if (result == PAM_IGNORE)
		promise(pamh.gate == PAM_SUCCESS);
	else
		promise(result == PAM_AUTH_ERR && pamh.gate != PAM_SUCCESS);
	promise(pamh.prompts <= tries && !pamh.linked);
	if (!pamh.restore_failed)
		promise(password == NULL ? pamh.authtok == NULL
					 : pamh.authtok != NULL && strcmp(pamh.authtok, password) == 0);
	for (int i = 0; i < MOST_SECRETS; i++)
		promise(secrets[i].at == NULL);

	result = pam_sm_setcred(&pamh, 0, argc, argv);
	promise(result == PAM_SUCCESS || (publickey && result == PAM_AUTH_ERR));
	promise(!publickey || result != PAM_SUCCESS || key_reported(&pamh));
	free(password);
	free(pamh.authtok);
	free(pamh.service);
	free(pamh.auth_info);
	free(pamh.typed);
	return 0;
}

#ifdef STANDALONE
int main(int argc, char **argv)
{
	uint8_t input[256];
	uint64_t state = 88172645463325252u; /* xorshift64, Marsaglia 2003: the same run every time */

	for (long run = argc > 1 ? atol(argv[1]) : 1; run > 0; run--) {
		for (size_t i = 0; i < sizeof input; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			/* Mostly 0, which goes on, so that a run also comes to the last line. */
			input[i] = state >> 60 < 9 ? 0 : (uint8_t)(state >> 32);
		}
		LLVMFuzzerTestOneInput(input, sizeof input);
	}
	return 0;
}
#endif
