/* SPDX-License-Identifier: MIT */
/*
 * A PAM application for the tests: one login, then it looks for what was typed in its own memory.
 *
 *     leftovers FOLDER SERVICE USER <ANSWERS
 *
 * Each line of standard input answers one prompt. Prints what pam_authenticate returned, and how often
 * the first answer is still to be found in memory that can be written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <security/pam_appl.h>

static char *password;
static char input[1024];
static char *next;

static int converse(int count, const struct pam_message **messages,
		    struct pam_response **responses, void *data)
{
	(void)data;
	*responses = calloc((size_t)count, sizeof(**responses));
	for (int i = 0; i < count && *next != '\0'; i++) {
		if (messages[i]->msg_style != PAM_PROMPT_ECHO_ON &&
		    messages[i]->msg_style != PAM_PROMPT_ECHO_OFF)
			continue;
		size_t length = strcspn(next, "\n");
		(*responses)[i].resp = strndup(next, length);
		next += length + 1;
	}
	return PAM_SUCCESS;
}

int main(int argc, char **argv)
{
	struct pam_conv conversation = {.conv = converse};
	pam_handle_t *pamh = NULL;
	char line[512], mode[8];
	unsigned long begin, end;
	int found = 0;

	if (argc != 4 || read(0, input, sizeof(input) - 1) <= 0)
		return 2;
	next = input;
	if (pam_start_confdir(argv[2], argv[3], &conversation, argv[1], &pamh) != PAM_SUCCESS)
		return 2;
	int result = pam_authenticate(pamh, 0);
	pam_end(pamh, result);
	printf("%d\n", result);
	password = strtok(input, "\n");
	size_t length = strlen(password);
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &begin, &end, mode) != 3 || mode[1] != 'w')
			continue;
		for (char *at = (char *)begin; at + length <= (char *)end; at++)
			found += at != password && memcmp(at, password, length) == 0;
	}
	printf("%d\n", found);
	return 0;
}
