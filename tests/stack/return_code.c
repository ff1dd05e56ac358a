/* SPDX-License-Identifier: MIT */
/*
 * A PAM module that answers what a test wants. `code=N` and `setcred=N` are arguments in a stack.
 * In the place of pam_exec.so it is given the program instead, and answers what the environment
 * has for it: RETURN_CODE_gate, RETURN_CODE_verify.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <security/pam_modules.h>

static int argument(int argc, const char **argv, const char *name, int otherwise)
{
	size_t length = strlen(name);

	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
			return atoi(argv[i] + length + 1);
	return otherwise;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *program = argc > 0 ? strrchr(argv[argc - 1], '/') : NULL;
	const char *code = NULL;
	char name[64];

	(void)pamh;
	(void)flags;
	if (program != NULL) {
		snprintf(name, sizeof name, "RETURN_CODE_%s", program + 1);
		code = getenv(name);
	}
	return code != NULL ? atoi(code) : argument(argc, argv, "code", PAM_SYSTEM_ERR);
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh;
	(void)flags;
	return argument(argc, argv, "setcred", PAM_SUCCESS);
}
