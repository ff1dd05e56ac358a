/* SPDX-License-Identifier: MIT */
/* Preloaded into a PAM application: the hard limit of descriptors is HARD, whatever it really is.
 * pam_exec closes as many as the limit says, and closing one that is not open costs the same. A
 * container can lower the limit, but not raise it.
 */
#define _GNU_SOURCE
#include <sys/resource.h>

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	int result = prlimit(0, resource, 0, limit);

	if (result == 0 && resource == RLIMIT_NOFILE) {
		limit->rlim_max = HARD;
	}
	return result;
}

/* What a program calls that was compiled for files of more than 2 GiB. */
int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit)
{
	int result = prlimit64(0, resource, 0, limit);

	if (result == 0 && resource == RLIMIT_NOFILE) {
		limit->rlim_max = HARD;
	}
	return result;
}
