/* SPDX-License-Identifier: MIT */
/*
 * A PAM module that does what its line says: `pam_scripted.so NAME RESULT SETCRED`. It returns
 * RESULT, or SETCRED to pam_setcred, and tells run_stacks.c each time by NAME that it was reached.
 */
#include <stdlib.h>

#include <security/pam_modules.h>

extern void reached(const char *name);

static int run(int argc, const char **argv, int which)
{
	reached(argc > 0 ? argv[0] : "-");
	return argc > which ? atoi(argv[which]) : PAM_SYSTEM_ERR;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags;
	return run(argc, argv, 1);
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags;
	return run(argc, argv, 2);
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags;
	return run(argc, argv, 1);
}
