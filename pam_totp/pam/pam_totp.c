/* SPDX-License-Identifier: MIT */
/* pam_totp: asks for a verification code, nothing else. Programs, run by pam_exec.so, decide whether
 * one is needed (GATE) and is right (VERIFY): fork, exec and descriptors stay with it.
 * - PAM_SUCCESS MUST come only from VERIFY (or, with publickey_passed, from sshd's own report).
 * - PAM_AUTHTOK and PAM's environment MUST be put back on every way out, or the answer is no.
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
#include <sys/resource.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#define SECRET __attribute__((cleanup(wipe_and_free))) char *
struct login {
	pam_handle_t *pamh;
	int flags, tries, combined; /* combined: how many digits to split off */
	const char *prompt;
	bool publickey_passed, debug;
};

static void wipe_and_free(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
}

/* NULL where there is none. From a module, libpam refuses no item that it knows. */
static const char *get_item(pam_handle_t *pamh, int item)
{
	const void *value = NULL;
	pam_get_item(pamh, item, &value);
	return value;
}

/* NULL is never the same. Only the person who typed both could measure how long this takes. */
static bool is_same(const char *one, const char *other)
{
	return one != NULL && other != NULL && strcmp(one, other) == 0;
}

/* sshd alone fills SSH_AUTH_INFO_0, one passed method a line; elsewhere it may be the user's. */
static bool sshd_reports_key(pam_handle_t *pamh)
{
	const char *methods = pam_getenv(pamh, "SSH_AUTH_INFO_0");
	return is_same(get_item(pamh, PAM_SERVICE), "sshd") && methods != NULL &&
	       (strncmp(methods, "publickey ", 10) == 0 || strstr(methods, "\npublickey ") != NULL);
}

/* PAM_IGNORE: the options alone decide nothing. */
static int read_options(struct login *login, int argc, const char **argv)
{
	for (int i = 0; i < argc; i++) {
		const char *option = strcmp(argv[i], "combined") == 0 ? "combined=6" : argv[i];
		if (fnmatch("tries=[123456789]", option, 0) == 0) {
			login->tries = option[6] - '0';
		} else if (fnmatch("combined=[678]", option, 0) == 0) {
			login->combined = option[9] - '0';
		} else if (strncmp(option, "prompt=", 7) == 0) {
			login->prompt = option + 7;
		} else if (strcmp(option, "publickey_passed") == 0) {
			login->publickey_passed = true;
		} else if (strcmp(option, "debug") == 0) {
			login->debug = true;
		} else {
			pam_syslog(login->pamh, LOG_ERR, "refused: option '%s' is invalid", option);
			return PAM_SERVICE_ERR;
		}
	}
	if (!login->publickey_passed)
		return PAM_IGNORE;
	return sshd_reports_key(login->pamh) ? PAM_SUCCESS : PAM_AUTH_ERR;
}

/* The calling program MUST NOT see our child: where it ignores or reaps its children, pam_exec
 * (Linux-PAM 1.5.2) finds none to wait for. The action is the whole process's, not this thread's:
 * the first thread in changes it, the last one out puts it back. A thread of the program that waits
 * for any child is out of our reach. */
static pthread_mutex_t caller_lock = PTHREAD_MUTEX_INITIALIZER;
static struct { unsigned int running; bool watched; struct sigaction action; } process;
static __thread bool runs_ours;

/* In a child: GATE and VERIFY set limits of their own, but only once they run, and only as root. Until
 * then, and for a caller who is not root, these hold: no core file of root's in a caller's folder (su),
 * and no loop for good. A core of 1 byte is none, and the kernel hands none on to a program
 * (systemd-coredump, apport) either, as it does with 0. A limit that cannot be set (seccomp) stops
 * nobody. */
static void limit_child(void)
{
	if (!runs_ours)
		return;
	setrlimit(RLIMIT_CORE, &(struct rlimit){.rlim_cur = 1, .rlim_max = 1});
	setrlimit(RLIMIT_CPU, &(struct rlimit){.rlim_cur = 20, .rlim_max = 20});
}

static void shield_child(bool begins)
{
	siginfo_t ended = {.si_pid = 0};
	pthread_mutex_lock(&caller_lock);
	runs_ours = begins;
	if (begins && process.running++ == 0) {
		sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &process.action);
		process.watched = process.watched || pthread_atfork(NULL, NULL, limit_child) == 0;
	} else if (!begins && --process.running == 0) {
		/* Once more the default: drops a blocked SIGCHLD that our child left pending. */
		signal(SIGCHLD, SIG_DFL);
		sigaction(SIGCHLD, &process.action, NULL);
		/* The caller's own children that ended meanwhile are reaped, or told, as it wants. */
		waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT);
		if (process.action.sa_handler == SIG_IGN || process.action.sa_flags & SA_NOCLDWAIT)
			while (waitpid(-1, NULL, WNOHANG) > 0)
				continue;
	}
	pthread_mutex_unlock(&caller_lock);
	if (ended.si_pid != 0)
		kill(getpid(), SIGCHLD); /* its handler may never come back here */
}

/* Programs load and believe variables (LD_*, TZ, a second PAM_USER): while one of ours runs there
 * MUST be none but sshd's report. After each name comes '\0', which takes it away, or '=' again. */
static bool change_environment(pam_handle_t *pamh, char **variables, char after_name)
{
	bool all = variables != NULL;
	for (char **each = variables; each != NULL && *each != NULL; each++) {
		if (strncmp(*each, "SSH_AUTH_INFO_0=", 16) == 0)
			continue;
		(*each)[strcspn(*each, "=")] = after_name;
		all = pam_putenv(pamh, *each) == PAM_SUCCESS && all;
	}
	return all;
}

/* pam_exec leaves what it hands on, the password too, in its dead frames: just below run(). */
static __attribute__((noinline)) void wipe_stack(void)
{
	char dead[16384];
	explicit_bzero(dead, sizeof(dead));
}

/* Runs a program of ours, with one word or NULL. After PAM_SUCCESS (it ended with 0) and PAM_AUTH_ERR
 * (any other end) all is as before; everything else MUST refuse. */
static int run(const struct login *login, const char *program, const char *word)
{
	pam_handle_t *pamh = login->pamh;
	/* The stock module beside this one: it forks, closes descriptors, changes ids and waits, in no
	 * line of ours, and what is mended there comes with libpam's updates. */
	void *library = dlopen(PAM_EXEC, RTLD_NOW | RTLD_LOCAL);
	typeof(pam_sm_authenticate) *pam_exec = library ? dlsym(library, "pam_sm_authenticate") : NULL;
	if (pam_exec == NULL) {
		pam_syslog(pamh, LOG_CRIT, "refused: no pam_exec.so beside this module: %s", dlerror());
		if (library != NULL)
			dlclose(library);
		return PAM_AUTHINFO_UNAVAIL;
	}
	/* sudo always passes PAM_SILENT, and its user is to see the key to enroll, or how long to wait. */
	bool silent = (login->flags & (int)PAM_SILENT) && !is_same(get_item(pamh, PAM_SERVICE), "sudo");
	/* A user who enrolls at this login proves the password again. Without one pam_exec would ask. */
	bool exposed = login->combined == 0 && get_item(pamh, PAM_AUTHTOK) != NULL;
	const char *argv[] = {"quiet", login->debug ? "debug" : "quiet_log", silent ? "quiet" : "stdout",
			      "seteuid", exposed ? "expose_authtok" : "quiet", program, word};
	char **variables = pam_getenvlist(pamh);
	bool changed = change_environment(pamh, variables, '\0');
	time_t began = time(NULL);
	shield_child(true);
	int answer = changed ? pam_exec(pamh, login->flags, word ? 7 : 6, argv) : PAM_AUTH_ERR;
	wipe_stack();
	shield_child(false);
	changed = change_environment(pamh, variables, '=') && changed;
	for (char **each = variables; each != NULL && *each != NULL; each++)
		free(*each);
	free(variables);
	dlclose(library);
	if (!changed) {
		pam_syslog(pamh, LOG_CRIT, "refused: PAM's environment cannot be changed or put back");
		return PAM_BUF_ERR;
	}
	/* One that was ended because it hung (the gate after 10 s, VERIFY after 30) has said nothing. */
	if (answer != PAM_SUCCESS && time(NULL) - began >= 9)
		pam_syslog(pamh, LOG_WARNING, "%s took too long: does a directory or a disk hang?", program);
	return answer == PAM_SUCCESS ? PAM_SUCCESS : PAM_AUTH_ERR;
}

/* Takes the code off the end of what was typed as the password, if it ends with one. */
static int split(const struct login *login)
{
	const char *typed = NULL;
	if (pam_get_authtok(login->pamh, PAM_AUTHTOK, &typed, NULL) != PAM_SUCCESS)
		return PAM_AUTH_ERR;
	size_t end = strlen(typed), digits = (size_t)login->combined;
	if (end > digits && strspn(typed + end - digits, "0123456789") == digits)
		end -= digits;
	SECRET password = strndup(typed, end);
	if (password == NULL || pam_set_item(login->pamh, PAM_OLDAUTHTOK, typed + end) != PAM_SUCCESS)
		return PAM_BUF_ERR;
	return pam_set_item(login->pamh, PAM_AUTHTOK, password) == PAM_SUCCESS ? PAM_IGNORE : PAM_BUF_ERR;
}

/* Whether the code is right. An empty one never is: VERIFY refuses it and logs. */
static int verify(const struct login *login, const char *code)
{
	int given = pam_set_item(login->pamh, PAM_AUTHTOK, code);
	int status = given == PAM_SUCCESS ? run(login, VERIFY, NULL) : PAM_BUF_ERR;
	return status == PAM_SUCCESS && *code == '\0' ? PAM_AUTH_ERR : status;
}

/* Asks until the code is right, nobody answers, or the tries are used up. */
static int ask(const struct login *login, const char *password)
{
	int status = PAM_AUTH_ERR;
	for (int i = 0; status == PAM_AUTH_ERR && i < login->tries; i++) {
		SECRET code = NULL;
		/* Shown while it is typed: a code is worthless a moment later, a typo is not. */
		int asked = pam_prompt(login->pamh, PAM_PROMPT_ECHO_ON, &code, "%s", login->prompt);
		if (asked != PAM_SUCCESS || code == NULL)
			return verify(login, "");
		/* A screen locker that shows no question answers every one with the password; a mail server
		 * answers one that would be shown with the user's name, which may be digits. */
		bool is_name = is_same(code, get_item(login->pamh, PAM_USER));
		if (*code != '\0' && (is_name || is_same(code, password))) {
			const char *what = is_name ? "user's name" : "password";
			pam_syslog(login->pamh, LOG_WARNING, "the answer is the %s: see pam_totp(8)", what);
			return verify(login, "");
		}
		/* What answers by itself says the same each time: one mistyped code is one try. A person who
		 * waits for a code may ask for it again. */
		bool asks = strcasecmp(code, "sms") == 0 || strcasecmp(code, "mail") == 0;
		if (i > 0 && !asks && is_same(code, get_item(login->pamh, PAM_AUTHTOK))) {
			pam_syslog(login->pamh, LOG_WARNING, "the same answer again: not counted");
			continue;
		}
		status = verify(login, code);
	}
	return status;
}

/* Whatever it answers, PAM_AUTHTOK is the password again. */
static int require_code(const struct login *login)
{
	const char *authtok = get_item(login->pamh, PAM_AUTHTOK);
	const char *kept = get_item(login->pamh, PAM_OLDAUTHTOK);
	SECRET password = authtok != NULL ? strdup(authtok) : NULL;
	if (authtok != NULL && password == NULL)
		return PAM_BUF_ERR;
	int status = kept != NULL ? verify(login, kept) : ask(login, password);
	if (kept != NULL)
		pam_set_item(login->pamh, PAM_OLDAUTHTOK, ""); /* it was good for one try */
	return pam_set_item(login->pamh, PAM_AUTHTOK, password) == PAM_SUCCESS ? status : PAM_BUF_ERR;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct login login = {.pamh = pamh, .flags = flags, .tries = 3, .prompt = "Verification code: "};
	int status = read_options(&login, argc, argv);
	if (status == PAM_AUTH_ERR)
		pam_syslog(pamh, LOG_NOTICE, "publickey_passed: sshd reports no accepted public key");
	if (status != PAM_IGNORE)
		return status;
	/* Where nobody is asked, nobody could enter a code that is sent. */
	const char *unasked = get_item(pamh, PAM_OLDAUTHTOK) != NULL ? "combined" : NULL;
	status = run(&login, GATE, login.combined ? "look" : unasked);
	if (status != PAM_AUTH_ERR)
		return status == PAM_SUCCESS ? PAM_IGNORE : status;
	return login.combined != 0 ? split(&login) : require_code(&login);
}

/* sshd calls this in a process that never saw pam_sm_authenticate, and jumps follow what it
 * returns: what the options decide MUST be answered as it was there, everything else MUST succeed. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct login login = {.pamh = pamh, .flags = flags};
	int status = read_options(&login, argc, argv);
	return status == PAM_IGNORE ? PAM_SUCCESS : status;
}
