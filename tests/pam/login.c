/* SPDX-License-Identifier: MIT */
/*
 * A PAM application for the tests: one login through a folder of services, answers as arguments.
 *
 *     login FOLDER SERVICE [NAME=VALUE ...] -- ANSWER ...
 *
 * ANSWER is =TEXT, long:N (N digits), null (the answer is NULL), error:N (the conversation returns
 * N). None left: PAM_CONV_ERR, as after Ctrl-C. Compiled without sanitizers it also looks into
 * every block that the module frees for the texts of all answers. The module's Nth call of a function
 * of libpam fails where FAIL_pam_putenv=N or FAIL_pam_getenvlist=N is in the environment; with
 * SILENT in it the application wants silence.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <security/pam_appl.h>

static char **next_answer;

/* Whether the module calls, and this call of its is to fail. */
static int is_to_fail(const char *variable, const void *from, int *calls)
{
	Dl_info caller;
	const char *which = getenv(variable);

	return which != NULL && dladdr(from, &caller) != 0 && caller.dli_fname != NULL &&
	       strstr(caller.dli_fname, "pam_totp.so") != NULL && ++*calls == atoi(which);
}

/* Found by the module's calls before libpam's own. */
int pam_putenv(pam_handle_t *pamh, const char *name_value)
{
	static int calls;
	int (*own)(pam_handle_t *, const char *) = dlsym(RTLD_NEXT, "pam_putenv");

	if (is_to_fail("FAIL_pam_putenv", __builtin_return_address(0), &calls))
		return PAM_BUF_ERR;
	return own(pamh, name_value);
}

char **pam_getenvlist(pam_handle_t *pamh)
{
	static int calls;
	char **(*own)(pam_handle_t *) = dlsym(RTLD_NEXT, "pam_getenvlist");

	if (is_to_fail("FAIL_pam_getenvlist", __builtin_return_address(0), &calls))
		return NULL;
	return own(pamh);
}

#ifndef __SANITIZE_ADDRESS__
extern void __libc_free(void *);
static const char *watched[16];
static int leftovers;

/* Found by the module's call before the C library's own. */
void free(void *block)
{
	Dl_info caller;

	if (block != NULL && watched[0] != NULL && dladdr(__builtin_return_address(0), &caller) != 0 &&
	    caller.dli_fname != NULL && strstr(caller.dli_fname, "pam_totp.so") != NULL)
		for (int i = 0; watched[i] != NULL; i++)
			if (memmem(block, malloc_usable_size(block), watched[i], strlen(watched[i])) != NULL)
				leftovers++;
	__libc_free(block);
}
#endif

static int converse(int count, const struct pam_message **messages,
		    struct pam_response **responses, void *data)
{
	(void)data;
	struct pam_response *filled = calloc((size_t)count, sizeof(*filled));

	for (int i = 0; i < count; i++) {
		if (messages[i]->msg_style == PAM_TEXT_INFO || messages[i]->msg_style == PAM_ERROR_MSG) {
			printf("message %s\n", messages[i]->msg);
			continue;
		}
		printf("prompt %s\n", messages[i]->msg);
		const char *answer = *next_answer != NULL ? *next_answer++ : "error:19";
		if (strncmp(answer, "error:", 6) == 0) {
			free(filled);
			return atoi(answer + 6);
		}
		if (answer[0] == '=')
			filled[i].resp = strdup(answer + 1);
		else if (strncmp(answer, "long:", 5) == 0) {
			size_t length = (size_t)atol(answer + 5);
			filled[i].resp = malloc(length + 1);
			memset(filled[i].resp, '1', length);
			filled[i].resp[length] = '\0';
		}
	}
	*responses = filled;
	return PAM_SUCCESS;
}

static int open_descriptors(void)
{
	int count = 0;
	DIR *folder = opendir("/proc/self/fd");

	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	struct pam_conv conversation = {.conv = converse};
	pam_handle_t *pamh = NULL;
	int result, before;

	if (argc < 4 || pam_start_confdir(argv[2], "root", &conversation, argv[1], &pamh) != PAM_SUCCESS)
		return 2;
	for (next_answer = argv + 3; strcmp(*next_answer, "--") != 0; next_answer++)
		pam_putenv(pamh, *next_answer);
	next_answer++;
#ifndef __SANITIZE_ADDRESS__
	for (int i = 0; i < 15 && next_answer[i] != NULL; i++)
		watched[i] = strlen(next_answer[i]) > 4 && next_answer[i][0] == '=' ?
			     next_answer[i] + 1 : "no such answer";
#endif
	before = open_descriptors();
	result = pam_authenticate(pamh, getenv("SILENT") != NULL ? (int)PAM_SILENT : 0);
	printf("authenticate %d\n", result);
	printf("setcred %d\n", pam_setcred(pamh, PAM_ESTABLISH_CRED));
	printf("descriptors %+d\n", open_descriptors() - before);
	printf("children %s\n", wait(NULL) == -1 && errno == ECHILD ? "none" : "left");
#ifndef __SANITIZE_ADDRESS__
	printf("leftovers %d\n", leftovers);
#endif
	return pam_end(pamh, result) == PAM_SUCCESS ? 0 : 2;
}
