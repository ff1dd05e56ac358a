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
#define SLOW_SECONDS 9 /* under the 10 of the gate, the 20 of the verifier */
#define SECRET __attribute__((cleanup(wipe_and_free))) char *
struct login {
	pam_handle_t *pamh;
	int flags, tries;
	size_t combined; /* how many digits to split off */
	const char *prompt;
	bool publickey_passed, debug;
};

static void wipe_and_free(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
}

static bool is_service(pam_handle_t *pamh, const char *name)
{
	const void *service = NULL;
	int status = pam_get_item(pamh, PAM_SERVICE, &service);
	return status == PAM_SUCCESS && service != NULL && strcmp(service, name) == 0;
}

static int read_options(struct login *login, int argc, const char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (fnmatch("tries=[123456789]", argv[i], 0) == 0) {
			login->tries = argv[i][6] - '0';
		} else if (fnmatch("combined=[678]", argv[i], 0) == 0) {
			login->combined = (size_t)(argv[i][9] - '0');
		} else if (strcmp(argv[i], "combined") == 0) {
			login->combined = 6;
		} else if (strncmp(argv[i], "prompt=", 7) == 0) {
			login->prompt = argv[i] + 7;
		} else if (strcmp(argv[i], "publickey_passed") == 0) {
			login->publickey_passed = true;
		} else if (strcmp(argv[i], "debug") == 0) {
			login->debug = true;
		} else {
			pam_syslog(login->pamh, LOG_ERR, "refused: option '%s' is invalid", argv[i]);
			return PAM_SERVICE_ERR;
		}
	}
	return PAM_SUCCESS;
}

/* sshd alone fills SSH_AUTH_INFO_0, one passed method a line; elsewhere it may be the user's. */
static int publickey_passed(pam_handle_t *pamh)
{
	const char *methods = is_service(pamh, "sshd") ? pam_getenv(pamh, "SSH_AUTH_INFO_0") : NULL;
	if (methods == NULL)
		return PAM_AUTH_ERR;
	if (strncmp(methods, "publickey ", 10) != 0 && strstr(methods, "\npublickey ") == NULL)
		return PAM_AUTH_ERR;
	return PAM_SUCCESS;
}

/* The calling program MUST NOT see our child: where it ignores or reaps its children, pam_exec
 * (Linux-PAM 1.5.2) finds none to wait for. Nor may a caller's limits and folder (su) have the
 * interpreter leave a core file of root's. Both are the whole process's, not this thread's: the
 * first thread in changes them, the last one out puts them back. A thread of the program that waits
 * for any child is out of our reach; a limit that cannot be set (seccomp) stops nobody. */
static pthread_mutex_t caller_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int running;
static struct sigaction callers_action;
static struct rlimit callers_core;
static bool core_is_limited;
static const struct sigaction default_action = {.sa_handler = SIG_DFL};

static void hide_child(void)
{
	pthread_mutex_lock(&caller_lock);
	if (running == 0) {
		sigaction(SIGCHLD, &default_action, &callers_action);
		core_is_limited = getrlimit(RLIMIT_CORE, &callers_core) == 0;
		struct rlimit none = {.rlim_cur = 0, .rlim_max = callers_core.rlim_max};
		core_is_limited = core_is_limited && setrlimit(RLIMIT_CORE, &none) == 0;
	}
	running++;
	pthread_mutex_unlock(&caller_lock);
}

static void show_children(void)
{
	siginfo_t ended = {.si_pid = 0};
	pthread_mutex_lock(&caller_lock);
	running--;
	if (running == 0) {
		if (core_is_limited)
			setrlimit(RLIMIT_CORE, &callers_core);
		/* Once more the default: drops a blocked SIGCHLD that our child left pending. */
		sigaction(SIGCHLD, &default_action, NULL);
		sigaction(SIGCHLD, &callers_action, NULL);
		/* The caller's own children that ended meanwhile are reaped, or told, as it wants. */
		waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT);
		if (callers_action.sa_handler == SIG_IGN || callers_action.sa_flags & SA_NOCLDWAIT)
			while (waitpid(-1, NULL, WNOHANG) > 0)
				continue;
	}
	pthread_mutex_unlock(&caller_lock);
	if (ended.si_pid != 0)
		kill(getpid(), SIGCHLD);
}

/* Programs load and believe variables (LD_*, TZ, a second PAM_USER): while one of ours runs there
 * MUST be none but sshd's report. With values they are put back, without taken away. */
static bool change_environment(pam_handle_t *pamh, char **variables, bool with_values)
{
	bool all = variables != NULL;
	for (char **each = variables; each != NULL && *each != NULL; each++) {
		size_t end = strcspn(*each, "=");
		(*each)[end] = with_values ? '=' : '\0';
		if (with_values || strcmp(*each, "SSH_AUTH_INFO_0") != 0)
			all = pam_putenv(pamh, *each) == PAM_SUCCESS && all;
		(*each)[end] = '=';
	}
	return all;
}

/* pam_exec leaves what it hands on, the password too, in its dead frames: just below run(). */
static __attribute__((noinline)) void wipe_stack(void)
{
	char dead[16384];
	explicit_bzero(dead, sizeof(dead));
}

/* Runs a program; answer is what pam_exec makes of its end. Returns PAM_SUCCESS if it was run and
 * all is as before: everything else MUST refuse. The last argument may be NULL. */
static int run(const struct login *login, const char *fifth, const char *sixth, int *answer)
{
	/* sudo always passes PAM_SILENT, and its user is to see the key to enroll, or how long to wait. */
	bool silent = ((unsigned int)login->flags & PAM_SILENT) && !is_service(login->pamh, "sudo");
	const char *text = silent ? "quiet" : "stdout";
	const char *argv[] = {"quiet", "quiet_log", text, "seteuid", fifth, sixth};
	/* The stock module beside this one: it forks, closes descriptors, changes ids and waits, in no
	 * line of ours, and what is mended there comes with libpam's updates. */
	void *library = dlopen(PAM_EXEC, RTLD_NOW | RTLD_LOCAL);
	typeof(pam_sm_authenticate) *pam_exec = library ? dlsym(library, "pam_sm_authenticate") : NULL;
	if (pam_exec == NULL) {
		const char *why = dlerror();
		pam_syslog(login->pamh, LOG_CRIT, "refused: no pam_exec.so beside this module: %s", why);
		if (library != NULL)
			dlclose(library);
		return PAM_AUTHINFO_UNAVAIL;
	}
	char **variables = pam_getenvlist(login->pamh);
	bool ready = change_environment(login->pamh, variables, false);
	time_t began = time(NULL);
	if (ready) {
		hide_child();
		*answer = pam_exec(login->pamh, login->flags, sixth != NULL ? 6 : 5, argv);
		wipe_stack();
		show_children();
	}
	bool restored = change_environment(login->pamh, variables, true);
	for (char **each = variables; each != NULL && *each != NULL; each++)
		free(*each);
	free(variables);
	dlclose(library);
	if (!ready || !restored) {
		const char *what = ready ? "put back" : "taken away";
		pam_syslog(login->pamh, LOG_CRIT, "refused: PAM's environment cannot be %s", what);
		return PAM_BUF_ERR;
	}
	/* One that was ended because it hung has said nothing itself. */
	if (*answer != PAM_SUCCESS && time(NULL) - began >= SLOW_SECONDS)
		pam_syslog(login->pamh, LOG_WARNING, "%s took over %d s: does a directory or a disk hang?",
			   sixth != NULL ? sixth : fifth, SLOW_SECONDS);
	if (login->debug)
		pam_syslog(login->pamh, LOG_DEBUG, "debug: %s: %d", sixth != NULL ? sixth : fifth, *answer);
	return PAM_SUCCESS;
}

/* Takes the code off the end of what was typed as the password, if it ends with one. */
static int split(const struct login *login)
{
	const char *typed = NULL;
	if (pam_get_authtok(login->pamh, PAM_AUTHTOK, &typed, NULL) != PAM_SUCCESS)
		return PAM_AUTH_ERR;
	size_t end = strlen(typed), digits = login->combined;
	if (end > digits && strspn(typed + end - digits, "0123456789") == digits)
		end -= digits;
	SECRET password = strndup(typed, end);
	if (password == NULL)
		return PAM_BUF_ERR;
	if (pam_set_item(login->pamh, PAM_OLDAUTHTOK, typed + end) != PAM_SUCCESS)
		return PAM_BUF_ERR;
	return pam_set_item(login->pamh, PAM_AUTHTOK, password) == PAM_SUCCESS ? PAM_IGNORE : PAM_BUF_ERR;
}

/* Whether the code is right. NULL never is: VERIFY is given an empty one, refuses it and logs. */
static int verify(const struct login *login, const char *code)
{
	int answer = PAM_AUTH_ERR;
	if (pam_set_item(login->pamh, PAM_AUTHTOK, code != NULL ? code : "") != PAM_SUCCESS)
		return PAM_BUF_ERR;
	int status = run(login, "expose_authtok", VERIFY, &answer);
	if (status != PAM_SUCCESS)
		return status;
	return answer == PAM_SUCCESS && code != NULL ? PAM_SUCCESS : PAM_AUTH_ERR;
}

/* In a time that tells nothing of where they differ. NULL is never the same. */
static bool is_same(const char *one, const char *other)
{
	if (one == NULL || other == NULL || strlen(one) != strlen(other))
		return false;
	volatile unsigned char differ = 0;
	for (size_t i = 0; one[i] != '\0'; i++)
		differ = (unsigned char)(differ | (one[i] ^ other[i]));
	return differ == 0;
}

/* An audit line for a try that VERIFY does not see, and so does not count. */
static void log_refusal(pam_handle_t *pamh, const char *detail)
{
	const int items[] = {PAM_USER, PAM_SERVICE};
	char names[2][64] = {"", ""};
	for (int i = 0; i < 2; i++) {
		const void *value = NULL;
		pam_get_item(pamh, items[i], &value);
		strncpy(names[i], value != NULL ? value : "", sizeof(names[i]) - 1);
		for (char *c = names[i]; *c != '\0'; c++)
			if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\' || *c == '=')
				*c = '?';
	}
	pam_syslog(pamh, LOG_WARNING, "verdict=refuse reason=bad-input user=%s service=%s detail=\"%s\"",
		   names[0], names[1], detail);
}

/* Asks until the code is right, nobody answers, or the tries are used up. */
static int ask(const struct login *login, const char *password)
{
	SECRET last = NULL;
	for (int i = 0; i < login->tries; i++) {
		SECRET code = NULL;
		/* Shown while it is typed: a code is worthless a moment later, a typo is not. */
		int asked = pam_prompt(login->pamh, PAM_PROMPT_ECHO_ON, &code, "%s", login->prompt);
		if (asked != PAM_SUCCESS || code == NULL)
			return verify(login, NULL);
		/* A screen locker that shows no question answers every one with the password. */
		if (*code != '\0' && is_same(code, password)) {
			log_refusal(login->pamh, "the answer is the password: does this program show the "
				    "question? If not, see combined in pam_totp(8)");
			return PAM_AUTH_ERR;
		}
		/* What answers by itself says the same each time: one mistyped code is one try. */
		if (is_same(code, last)) {
			log_refusal(login->pamh, "the same answer again: not verified, not counted");
			continue;
		}
		int status = verify(login, code);
		if (status != PAM_AUTH_ERR)
			return status;
		wipe_and_free(&last);
		last = code;
		code = NULL;
	}
	return PAM_AUTH_ERR;
}

static int require_code(const struct login *login, const char *authtok)
{
	const void *kept = NULL;
	if (pam_get_item(login->pamh, PAM_OLDAUTHTOK, &kept) != PAM_SUCCESS)
		return PAM_AUTH_ERR;
	SECRET password = authtok != NULL ? strdup(authtok) : NULL;
	if (authtok != NULL && password == NULL)
		return PAM_BUF_ERR;
	int status;
	if (kept == NULL) {
		status = ask(login, password);
	} else {
		status = verify(login, *(const char *)kept != '\0' ? kept : NULL);
		pam_set_item(login->pamh, PAM_OLDAUTHTOK, ""); /* it was good for one try */
	}
	if (pam_set_item(login->pamh, PAM_AUTHTOK, password) != PAM_SUCCESS)
		return PAM_BUF_ERR;
	return status;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct login login = {.pamh = pamh, .flags = flags, .tries = 3, .prompt = "Verification code: "};
	const void *authtok = NULL;
	int answer = PAM_AUTH_ERR, status = read_options(&login, argc, argv);
	if (status != PAM_SUCCESS)
		return status;
	if (login.publickey_passed)
		return publickey_passed(pamh);
	if (pam_get_item(pamh, PAM_AUTHTOK, &authtok) != PAM_SUCCESS)
		return PAM_AUTH_ERR;
	/* Whoever enrolls at this login proves the password again. Without one pam_exec would ask. */
	if (login.combined != 0)
		status = run(&login, GATE, "look", &answer);
	else if (authtok != NULL)
		status = run(&login, "expose_authtok", GATE, &answer);
	else
		status = run(&login, GATE, NULL, &answer);
	if (status != PAM_SUCCESS)
		return status;
	if (answer == PAM_SUCCESS)
		return PAM_IGNORE;
	return login.combined != 0 ? split(&login) : require_code(&login, authtok);
}

/* sshd calls this in a process that never saw pam_sm_authenticate, and jumps follow what it
 * returns: what the options decide MUST be answered as it was there, everything else MUST succeed. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct login login = {.pamh = pamh, .flags = flags};
	int status = read_options(&login, argc, argv);
	if (status == PAM_SUCCESS && login.publickey_passed)
		return publickey_passed(pamh);
	return status;
}
