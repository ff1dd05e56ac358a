/* SPDX-License-Identifier: MIT */
/* The kernel's word on its clock, which no namespace has of its own: kept, unless a file says no. */
#include <sys/timex.h>
#include <unistd.h>

int adjtimex(struct timex *state)
{
	(void)state;
	return access("/etc/clock-is-not-kept", F_OK) == 0 ? TIME_ERROR : TIME_OK;
}
