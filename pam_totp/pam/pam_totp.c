/* pam_totp: asks for a verification code, nothing else. Programs, run by pam_exec.so, decide whether
 * one is needed (GATE) and is right (VERIFY): fork, exec and descriptors stay with it.
 * - PAM_SUCCESS MUST come only from VERIFY (or, with publickey_passed, from sshd's own report).
 * - PAM_AUTHTOK MUST hold the password again on every way out: keyrings after us need it.
 * - Every copy of a password or code made here MUST be wiped before it is freed.
 * - What combined splits off is in PAM_OLDAUTHTOK, "" for no code. No login has another use for it,
 *   and libpam wipes it when pam_authenticate ends. While it is there, nobody MUST be asked. */
#include <dlfcn.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <sys/wait.h>
#include <unistd.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#define SECRET __attribute__((cleanup(wipe_and_free))) char *
#define NO_ANSWER (-1)
struct options { int tries; size_t combined; const char *prompt; };

/* sshd alone fills SSH_AUTH_INFO_0, one passed method a line; elsewhere it may be the user's. */
static int publickey_passed(pam_handle_t *pamh)
{
	const void *service = NULL;
	const char *methods = pam_getenv(pamh, "SSH_AUTH_INFO_0");
	return pam_get_item(pamh, PAM_SERVICE, &service) == PAM_SUCCESS && service != NULL &&
	       strcmp(service, "sshd") == 0 && methods != NULL &&
	       fnmatch("?(*\n)publickey *", methods, FNM_EXTMATCH) == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

/* What the options alone decide: an invalid one refuses, publickey_passed asks nobody. */
static int read_options(pam_handle_t *pamh, int argc, const char **argv, struct options *options)
{
	int answer = NO_ANSWER;
	*options = (struct options){.tries = 3, .prompt = "Verification code: "};
	for (int i = 0; i < argc; i++)
		if (fnmatch("tries=[123456789]", argv[i], 0) == 0)
			options->tries = argv[i][6] - '0';
		else if (fnmatch("combined?(=[678])", argv[i], FNM_EXTMATCH) == 0)
			options->combined = argv[i][8] == '=' ? (size_t)(argv[i][9] - '0') : 6;
		else if (strncmp(argv[i], "prompt=", 7) == 0)
			options->prompt = argv[i] + 7;
		else if (strcmp(argv[i], "publickey_passed") == 0)
			answer = publickey_passed(pamh);
		else
			return pam_syslog(pamh, LOG_ERR, "refused: option '%s' is invalid", argv[i]),
			       PAM_SERVICE_ERR;
	return answer;
}

static void wipe_and_free(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
}

/* The calling program MUST NOT see our child. Where it ignores SIGCHLD, has SA_NOCLDWAIT, or reaps
 * in its handler, pam_exec (Linux-PAM 1.5.2) finds no child to wait for and refuses. Hence the
 * default action meanwhile. That is a matter of the whole process, not of this thread: the first
 * thread in takes the caller's action away and the last one out puts it back; meanwhile no thread
 * is told of a child that ends. (One that waits for any child in a loop is out of our reach.) */
static pthread_mutex_t children_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int children_hidden;
static struct sigaction callers_action;
static const struct sigaction default_action = {.sa_handler = SIG_DFL};

static void hide_child(void)
{
	pthread_mutex_lock(&children_lock);
	if (children_hidden == 0) {
		sigaction(SIGCHLD, &default_action, &callers_action);
	}
	children_hidden++;
	pthread_mutex_unlock(&children_lock);
}

/* Puts the caller's action back. Children of its own that ended meanwhile are no loss: one that
 * wants them reaped by the kernel gets that, every other one is sent the signal. */
static void show_children(void)
{
	siginfo_t ended = {.si_pid = 0};

	pthread_mutex_lock(&children_lock);
	children_hidden--;
	if (children_hidden == 0) {
		/* Once more the default: a blocked SIGCHLD that our child left pending goes. */
		sigaction(SIGCHLD, &default_action, NULL);
		sigaction(SIGCHLD, &callers_action, NULL);
		if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) {
			ended.si_pid = 0;
		}
		if (callers_action.sa_handler == SIG_IGN || callers_action.sa_flags & SA_NOCLDWAIT) {
			while (waitpid(-1, NULL, WNOHANG) > 0) {
				continue;
			}
		}
	}
	pthread_mutex_unlock(&children_lock);
	if (ended.si_pid != 0) {
		kill(getpid(), SIGCHLD);
	}
}

/* What pam_exec answers for a program of ours, or NO_ANSWER; sixth may be NULL. Programs load and
 * believe variables (LD_*, TZ, a second PAM_USER): meanwhile there MUST be none but sshd's report. */
static int run(pam_handle_t *pamh, int flags, const char *fifth, const char *sixth)
{
	const char *argv[] = {"quiet", "quiet_log", "stdout", "seteuid", fifth, sixth};
	void *library = dlopen(PAM_EXEC, RTLD_NOW | RTLD_LOCAL);
	typeof(pam_sm_authenticate) *pam_exec = library ? dlsym(library, "pam_sm_authenticate") : NULL;
	char **environment = pam_exec ? pam_getenvlist(pamh) : NULL;
	for (char **each = environment; each != NULL && *each != NULL; each++) {
		size_t end = strcspn(*each, "=");
		(*each)[end] = '\0'; /* without a value, pam_putenv takes the variable away */
		if (strcmp(*each, "SSH_AUTH_INFO_0") != 0)
			pam_putenv(pamh, *each);
		(*each)[end] = '=';
	}
	hide_child();
	int answer = environment ? pam_exec(pamh, flags, sixth != NULL ? 6 : 5, argv) : NO_ANSWER;
	show_children();
	for (char **each = environment; each != NULL && *each != NULL; free(*each++))
		pam_putenv(pamh, *each);
	free(environment);
	if (environment == NULL)
		pam_syslog(pamh, LOG_CRIT, "refused: no pam_exec.so beside this module: %s", dlerror());
	if (library != NULL)
		dlclose(library);
	return answer;
}

/* Takes the code off the end of what was typed as the password, if it ends with one. */
static int split(pam_handle_t *pamh, size_t digits)
{
	const char *typed;
	if (pam_get_authtok(pamh, PAM_AUTHTOK, &typed, NULL) != PAM_SUCCESS)
		return PAM_AUTH_ERR;
	size_t end = strlen(typed);
	if (end > digits && strspn(typed + end - digits, "0123456789") == digits)
		end -= digits;
	SECRET password = strndup(typed, end);
	return password != NULL && pam_set_item(pamh, PAM_OLDAUTHTOK, typed + end) == PAM_SUCCESS &&
	       pam_set_item(pamh, PAM_AUTHTOK, password) == PAM_SUCCESS ? PAM_IGNORE : PAM_AUTH_ERR;
}

/* Whether the code is right. NULL never is: VERIFY is given an empty one, refuses it and logs. */
static bool verify(pam_handle_t *pamh, int flags, const char *code)
{
	return pam_set_item(pamh, PAM_AUTHTOK, code != NULL ? code : "") == PAM_SUCCESS &&
	       run(pamh, flags, "expose_authtok", VERIFY) == PAM_SUCCESS && code != NULL;
}

static int require_code(pam_handle_t *pamh, int flags, const char *authtok, struct options options)
{
	const char *kept = NULL;
	SECRET password = authtok != NULL ? strdup(authtok) : NULL;
	if (pam_get_item(pamh, PAM_OLDAUTHTOK, (const void **)&kept) != PAM_SUCCESS ||
	    (authtok != NULL && password == NULL))
		return PAM_AUTH_ERR;
	bool answered = kept == NULL;
	bool right = kept != NULL && verify(pamh, flags, *kept != '\0' ? kept : NULL);
	while (answered && !right && options.tries-- > 0) {
		SECRET code = NULL;
		/* Shown while it is typed: a code is worthless a moment later, a typo is not. */
		answered = pam_prompt(pamh, PAM_PROMPT_ECHO_ON, &code, "%s", options.prompt) ==
			   PAM_SUCCESS && code != NULL;
		right = verify(pamh, flags, answered ? code : NULL);
	}
	pam_set_item(pamh, PAM_OLDAUTHTOK, kept != NULL ? "" : NULL); /* it was good for one try */
	right = pam_set_item(pamh, PAM_AUTHTOK, password) == PAM_SUCCESS && right;
	return right ? PAM_SUCCESS : PAM_AUTH_ERR;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct options options;
	const void *authtok = NULL;
	int answer = read_options(pamh, argc, argv, &options);
	if (answer != NO_ANSWER || pam_get_item(pamh, PAM_AUTHTOK, &authtok) != PAM_SUCCESS)
		return answer != NO_ANSWER ? answer : PAM_AUTH_ERR;
	const char *look = options.combined != 0 ? "look" : NULL;
	/* Whoever enrolls at this login proves the password again. Without one pam_exec would ask. */
	answer = look || !authtok ? run(pamh, flags, GATE, look)
				  : run(pamh, flags, "expose_authtok", GATE);
	if (answer == PAM_SUCCESS || answer == NO_ANSWER)
		return answer == PAM_SUCCESS ? PAM_IGNORE : PAM_AUTH_ERR;
	return look ? split(pamh, options.combined) : require_code(pamh, flags, authtok, options);
}

/* sshd calls this in a process that never saw pam_sm_authenticate, and jumps follow what it
 * returns: what the options decide MUST be answered as it was there, everything else MUST succeed. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct options options;
	(void)flags;
	int answer = read_options(pamh, argc, argv, &options);
	return answer != NO_ANSWER ? answer : PAM_SUCCESS;
}
