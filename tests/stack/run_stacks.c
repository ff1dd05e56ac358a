/* SPDX-License-Identifier: MIT */
/*
 * A PAM application that runs many stacks, each named on a line of its standard input.
 *
 *     run_stacks FOLDER login|fresh
 *
 * login: pam_authenticate and pam_setcred in one handle, as login does. fresh: pam_setcred and
 * pam_acct_mgmt in a handle of their own, as sshd's parent does. For each service it prints
 *     NAME START FIRST REACHED SECOND REACHED
 * with what pam_start and the two calls return, and the names of the modules that each reached, with `_` for spaces.
 * Every STACKS_PER_PROCESS stacks run in a process of their own; of a stack that ends its process
 * only the name is printed.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <security/pam_appl.h>

#define STACKS_PER_PROCESS 500
#define NOT_CALLED 999

static char trace[1 << 16];
static size_t traced;

void reached(const char *name)
{
	int length = snprintf(trace + traced, sizeof(trace) - traced, "%s,", name);

	if (length < 0 || traced + (size_t)length >= sizeof(trace))
		abort();
	for (char *each = trace + traced; *each != '\0'; each++)
		if (isspace((unsigned char)*each))
			*each = '_';
	traced += (size_t)length;
}

static int converse(int count, const struct pam_message **messages,
		    struct pam_response **responses, void *data)
{
	(void)count, (void)messages, (void)responses, (void)data;
	return PAM_CONV_ERR;
}

static void print_call(int value)
{
	printf(" %d %s", value, traced ? trace : "-");
	traced = 0;
	trace[0] = '\0';
}

static void run(const char *folder, const char *service, int is_fresh)
{
	struct pam_conv conversation = {converse, NULL};
	pam_handle_t *pamh = NULL;
	int second = NOT_CALLED;
	int status = pam_start_confdir(service, "root", &conversation, folder, &pamh);

	printf("%s %d", service, status);
	if (status == PAM_SUCCESS) {
		status = is_fresh ? pam_setcred(pamh, PAM_ESTABLISH_CRED) : pam_authenticate(pamh, 0);
		print_call(status);
		if (!is_fresh)
			second = pam_setcred(pamh, PAM_ESTABLISH_CRED);
		else if (status != PAM_INCOMPLETE)
			second = pam_acct_mgmt(pamh, 0);
		print_call(second);
		pam_end(pamh, status);
	}
	putchar('\n');
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char *names[1 << 15], line[256];
	int count = 0, is_fresh = argc == 3 && strcmp(argv[2], "fresh") == 0;
	int *done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (argc != 3 || done == MAP_FAILED)
		return 2;
	while (fgets(line, sizeof(line), stdin) != NULL && count < 1 << 15) {
		line[strcspn(line, "\n")] = '\0';
		names[count++] = strdup(line);
	}
	while (*done < count) {
		int status, end = *done + STACKS_PER_PROCESS;
		pid_t child = fork();

		if (child == 0) {
			for (; *done < end && *done < count; ++*done)
				run(argv[1], names[*done], is_fresh);
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child)
			return 1;
		if (status != 0) {
			printf("\n%s\n", names[(*done)++]);
			fflush(stdout);
		}
	}
	return 0;
}
