/* SPDX-License-Identifier: MIT */
/*
 * A PAM application with a child of its own, for the tests: many logins in one process.
 *
 *     caller FOLDER SERVICE DISPOSITION THREADS CODE ...
 *
 * DISPOSITION is what it does with SIGCHLD: default, ignored, no-zombies (SA_NOCLDWAIT), reaped (a
 * handler that reaps every child), blocked or held (such a handler, blocked), or left (one that never
 * returns, but jumps out of the login: its result is 99; for one thread). Each of THREADS threads
 * logs in with every CODE. The pid of its own child, which sleeps, is in the file own-child before
 * the first login; with "early-" before DISPOSITION that child has ended by then.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <security/pam_appl.h>

#define MOST_THREADS 8

static char **arguments;
static volatile pid_t own;
static volatile sig_atomic_t own_reaped, strangers, leaves;
static sigjmp_buf before_login;

static void reap(int number)
{
	int before = errno;
	pid_t ended;

	(void)number;
	while ((ended = waitpid(-1, NULL, WNOHANG)) > 0) {
		if (ended == own)
			own_reaped++;
		else
			strangers++;
	}
	errno = before;
	if (leaves)
		siglongjmp(before_login, 1);
}

static int converse(int count, const struct pam_message **messages,
		    struct pam_response **responses, void *data)
{
	(void)messages;
	*responses = calloc((size_t)count, sizeof(**responses));
	(*responses)[0].resp = strdup(data);
	return PAM_SUCCESS;
}

static void *log_in(void *answers)
{
	char *volatile next = answers;

	for (volatile int i = 5; arguments[i] != NULL; i++) {
		struct pam_conv conversation = {converse, arguments[i]};
		pam_handle_t *volatile pamh = NULL;
		pam_handle_t *started = NULL;
		volatile int result = pam_start_confdir(arguments[2], "root", &conversation, arguments[1], &started);

		pamh = started;
		if (leaves && sigsetjmp(before_login, 1) != 0)
			result = 99;
		else if (result == PAM_SUCCESS)
			result = pam_authenticate(pamh, 0);
		pam_end(pamh, result);
		next += sprintf(next, "%d ", result);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static char answers[MOST_THREADS][1024];
	pthread_t threads[MOST_THREADS];
	struct sigaction wanted = {.sa_handler = SIG_DFL}, after;
	sigset_t children, pending;
	char state[256] = "";

	if (argc < 6)
		return 2;
	arguments = argv;
	int early = strncmp(argv[3], "early-", 6) == 0, count = atoi(argv[4]);
	const char *disposition = argv[3] + (early ? 6 : 0);

	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	wanted.sa_flags = SA_RESTART;
	if (strcmp(disposition, "ignored") == 0)
		wanted.sa_handler = SIG_IGN;
	else if (strcmp(disposition, "no-zombies") == 0)
		wanted.sa_flags |= SA_NOCLDWAIT;
	else if (strcmp(disposition, "reaped") == 0 || strcmp(disposition, "held") == 0)
		wanted.sa_handler = reap;
	else if (strcmp(disposition, "left") == 0)
		wanted.sa_handler = reap;
	if (strcmp(disposition, "blocked") == 0 || strcmp(disposition, "held") == 0)
		pthread_sigmask(SIG_BLOCK, &children, NULL);
	leaves = strcmp(disposition, "left") == 0;
	sigaction(SIGCHLD, &wanted, NULL);

	own = fork();
	if (own == 0) {
		pause();
		_exit(0);
	}
	FILE *file = fopen("own-child", "w");
	fprintf(file, "%d", (int)own);
	fclose(file);
	if (early) {
		siginfo_t ended;

		kill(own, SIGKILL);
		waitid(P_PID, (id_t)own, &ended, WEXITED | WNOWAIT);
	}
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, log_in, answers[i]);
	if (leaves) /* the handler runs in the thread that logs in */
		pthread_sigmask(SIG_BLOCK, &children, NULL);
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		printf("answers %s\n", answers[i]);
	}
	sigaction(SIGCHLD, NULL, &after);
	printf("action %s\n", after.sa_handler == wanted.sa_handler &&
	       (after.sa_flags & (SA_RESTART | SA_NOCLDWAIT)) == wanted.sa_flags ? "same" : "changed");
	struct rlimit core;
	getrlimit(RLIMIT_CORE, &core);
	printf("core %lld %lld\n", (long long)core.rlim_cur, (long long)core.rlim_max);
	sigpending(&pending);
	printf("pending %d\n", sigismember(&pending, SIGCHLD));
	printf("strangers %d\n", (int)strangers);
	printf("reaped %d\n", (int)own_reaped);
	snprintf(state, sizeof(state), "/proc/%d/stat", (int)own);
	file = fopen(state, "r");
	if (file == NULL || fscanf(file, "%*d %*s %255s", state) != 1)
		strcpy(state, "gone");
	printf("child %s\n", state);
	/* The module is not loaded any more. */
	struct rlimit seconds;
	int status = 0;
	pid_t later = fork();
	if (later == 0) {
		getrlimit(RLIMIT_CPU, &seconds);
		_exit(seconds.rlim_cur == RLIM_INFINITY ? 42 : 1);
	}
	waitpid(later, &status, 0);
	printf("later %d\n", status);
	kill(own, SIGKILL);
	return 0;
}
