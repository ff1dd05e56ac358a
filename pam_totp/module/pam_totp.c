/* pam_totp: asks for a verification code, nothing else. Whether a code is needed (GATE)
 * and whether it is right (VERIFY) is decided by two programs, run through the pam_exec.so beside
 * this module: fork, exec, descriptors and SIGCHLD stay with it.
 * - PAM_SUCCESS MUST come only from VERIFY (or, with publickey_passed, from sshd's own report).
 * - PAM_AUTHTOK MUST hold the password again on every way out: keyrings after us need it.
 * - Every copy of a password or code made here MUST be wiped before it is freed.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

typedef int authenticate_fn(pam_handle_t *, int, int, const char **);

struct options { int tries; const char *prompt; bool publickey_passed; };

static bool parse_options(pam_handle_t *pamh, int argc, const char **argv, struct options *options)
{
	*options = (struct options){.tries = 3, .prompt = "Verification code: "};
	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "tries=", 6) == 0 && strlen(argv[i]) == 7 &&
		    argv[i][6] >= '1' && argv[i][6] <= '9')
			options->tries = argv[i][6] - '0';
		else if (strncmp(argv[i], "prompt=", 7) == 0)
			options->prompt = argv[i] + 7;
		else if (strcmp(argv[i], "publickey_passed") == 0)
			options->publickey_passed = true;
		else {
			pam_syslog(pamh, LOG_ERR, "refused: option '%s' is invalid", argv[i]);
			return false;
		}
	}
	return true;
}

/* sshd alone fills SSH_AUTH_INFO_0, one passed method a line; elsewhere it may be the user's. */
static int publickey_passed(pam_handle_t *pamh)
{
	const void *service = NULL;
	const char *methods = pam_getenv(pamh, "SSH_AUTH_INFO_0");
	bool passed = methods != NULL && (strncmp(methods, "publickey ", 10) == 0 ||
					  strstr(methods, "\npublickey ") != NULL);

	return passed && pam_get_item(pamh, PAM_SERVICE, &service) == PAM_SUCCESS &&
	       service != NULL && strcmp(service, "sshd") == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

/* Our programs would load or believe these; a module before us may have them from the user. */
static void drop_loader_variables(pam_handle_t *pamh)
{
	static const char *const names[] = {"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_DEBUG",
		"LD_DEBUG_OUTPUT", "LD_PROFILE", "LD_PROFILE_OUTPUT", "GLIBC_TUNABLES", "GCONV_PATH",
		"LOCPATH", "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "PAM_USER", "PAM_RUSER",
		"PAM_SERVICE", "PAM_RHOST", "PAM_TTY", "PAM_TYPE"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (pam_getenv(pamh, names[i]) != NULL)
			pam_putenv(pamh, names[i]);
}

static void wipe_and_free(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void *open_pam_exec(pam_handle_t *pamh, authenticate_fn **authenticate)
{
	Dl_info self;
	const char *slash;
	char *path = NULL;
	void *library = NULL;
	*authenticate = NULL;
	if (dladdr((void *)pam_sm_authenticate, &self) != 0 &&
	    (slash = strrchr(self.dli_fname, '/')) != NULL &&
	    asprintf(&path, "%.*s/pam_exec.so", (int)(slash - self.dli_fname), self.dli_fname) > 0) {
		if ((library = dlopen(path, RTLD_NOW | RTLD_LOCAL)) != NULL)
			*(void **)authenticate = dlsym(library, "pam_sm_authenticate");
		free(path);
	}
	if (*authenticate == NULL)
		pam_syslog(pamh, LOG_CRIT, "refused: no pam_exec.so beside this module: %s", dlerror());
	return library;
}

/* PAM_SUCCESS: right; PAM_AUTH_ERR: wrong, may be asked again; PAM_CONV_ERR: nobody answers. */
static int ask(pam_handle_t *pamh, int flags, authenticate_fn *pam_exec, const char *prompt)
{
	const char *verify[] = {"quiet", "quiet_log", "stdout", "seteuid", "expose_authtok", VERIFY};
	char *code = NULL;
	/* Shown while it is typed: a code is worthless a moment later, a typo is not. */
	bool answered = pam_prompt(pamh, PAM_PROMPT_ECHO_ON, &code, "%s", prompt) == PAM_SUCCESS &&
			code != NULL;
	int answer = answered ? PAM_AUTH_ERR : PAM_CONV_ERR;

	/* Where nobody answers: an empty code, which is refused and logged. */
	if (pam_set_item(pamh, PAM_AUTHTOK, answered ? code : "") != PAM_SUCCESS)
		answer = PAM_CONV_ERR;
	else if (pam_exec(pamh, flags, 6, verify) == PAM_SUCCESS && answered)
		answer = PAM_SUCCESS;
	wipe_and_free(code);
	return answer;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *gate[] = {"quiet", "quiet_log", "stdout", "seteuid", GATE};
	const void *authtok = NULL;
	struct options options;
	authenticate_fn *pam_exec;
	char *password = NULL;
	int result = PAM_AUTH_ERR;

	if (!parse_options(pamh, argc, argv, &options))
		return PAM_SERVICE_ERR;
	if (options.publickey_passed)
		return publickey_passed(pamh);
	drop_loader_variables(pamh);
	void *library = open_pam_exec(pamh, &pam_exec);
	if (pam_exec != NULL && pam_exec(pamh, flags, 5, gate) == PAM_SUCCESS)
		result = PAM_IGNORE;
	else if (pam_exec != NULL && pam_get_item(pamh, PAM_AUTHTOK, &authtok) == PAM_SUCCESS &&
		 (authtok == NULL || (password = strdup(authtok)) != NULL)) {
		for (int tries = options.tries; tries > 0 && result == PAM_AUTH_ERR; tries--)
			result = ask(pamh, flags, pam_exec, options.prompt);
		if (pam_set_item(pamh, PAM_AUTHTOK, password) != PAM_SUCCESS || result != PAM_SUCCESS)
			result = PAM_AUTH_ERR;
		wipe_and_free(password);
	}
	if (library != NULL)
		dlclose(library);
	return result;
}

/* sshd calls this in a process that never saw pam_sm_authenticate, and jumps follow what it
 * returns: publickey_passed MUST answer as it did there, everything else MUST succeed. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "publickey_passed") == 0)
			return publickey_passed(pamh);
	return PAM_SUCCESS;
}
