/* SPDX-License-Identifier: MIT */
/* gate and verify, as pam_exec starts them: each becomes the Python program of its name, in a place
 * that its caller did not prepare. NAME and SECONDS say which of the two this is; PROGRAM is
 * scripts/login.py.
 * - Whatever fails MUST end with 1, which makes gate ask and verify refuse, and say why in the log.
 * - Of the variables MUST stay only those of pam_exec that we go by, and sshd's report of a key.
 * It is linked statically where that can be done: then no variable (LD_*) reaches it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>
#include "launch.h"
#include "program.h"
#define PYTHON "/usr/bin/python3"
#define GROUPS "/sys/fs/cgroup"
#define IS_GATE (NAME[0] == 'g')

/* Of those with one name the last: pam_exec adds its own behind what modules have set. */
static void keep_variables(void)
{
	static const char *const names[] = {"PAM_USER=",  "PAM_SERVICE=", "PAM_RHOST=",
					    "PAM_RUSER=", "PAM_TTY=",     "SSH_AUTH_INFO_0="};
	static char *kept[sizeof(names) / sizeof(*names) + 1];
	size_t count = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		kept[count] = NULL;
		for (char **each = environ; *each != NULL; each++)
			if (strncmp(*each, names[i], strlen(names[i])) == 0)
				kept[count] = *each;
		count += kept[count] != NULL;
	}
	kept[count] = NULL;
	environ = kept;
}

const char *in_log(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:@_%-";
	const char *value = getenv(name) ? getenv(name) : "";
	return strlen(value) < 256 && value[strspn(value, plain)] == '\0' ? value : "?";
}

static int fail(const char *path)
{
	const char *why = strerror(errno);
	openlog("pam-totp", LOG_PID, LOG_AUTHPRIV);
	syslog(LOG_CRIT, "verdict=%s reason=internal-error user=%s service=%s rhost=%s device= "
	       "detail=\"cannot run %s: %s\"", IS_GATE ? "ask" : "refuse", in_log("PAM_USER"),
	       in_log("PAM_SERVICE"), in_log("PAM_RHOST"), path, why);
	return 1;
}

/* As much as is wanted; where a sandbox forbids that, as much as the caller may have. */
static void set_limit(int what, rlim_t wanted)
{
	struct rlimit limit = {.rlim_cur = wanted, .rlim_max = wanted};
	if (setrlimit(what, &limit) == 0 || getrlimit(what, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	setrlimit(what, &limit);
}

/* su passes on what a user has set. A core file of 1 byte is none, and the kernel hands none on to a
 * program either (core(5)). */
static void set_limits(void)
{
	static const struct { int what; rlim_t wanted; } limits[] = {
		{RLIMIT_AS, RLIM_INFINITY},     {RLIMIT_DATA, RLIM_INFINITY}, {RLIMIT_FSIZE, RLIM_INFINITY},
		{RLIMIT_NPROC, RLIM_INFINITY},  {RLIMIT_CPU, SECONDS},        {RLIMIT_CORE, 1},
		{RLIMIT_RTTIME, RLIM_INFINITY}, {RLIMIT_STACK, 8 << 20},      {RLIMIT_NOFILE, 1024}};
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		set_limit(limits[i].what, limits[i].wanted);
}

/* systemd's own services, which no user can write to; the journal knows by it whose line one is. Only
 * a line can begin with a line feed: a user's own group may be called "0::", with others in it. */
static bool is_in_systems_group(void)
{
	char groups[4096] = "\n", path[sizeof(groups) + sizeof(GROUPS)];
	struct stat status;
	const char *own = read_text("/proc/self/cgroup", groups + 1, sizeof(groups) - 1) ?
			  strstr(groups, "\n0::/system.slice/") : NULL;
	if (own == NULL)
		return false;
	snprintf(path, sizeof(path), GROUPS "%.*s", (int)strcspn(own + 4, "\n"), own + 4);
	return stat(path, &status) == 0 && status.st_uid == 0;
}

/* A caller's group could be frozen, or starved, while the account's lock is held. Leaving it takes
 * some milliseconds. Where that may not be done, this stays where it is. */
static void leave_group(void)
{
	int procs = open(GROUPS "/init.scope/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0)
		procs = open(GROUPS "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs >= 0 && write(procs, "0", 1) < 0)
		close(procs);
}

static void leave_callers_place(void)
{
	cpu_set_t every;
	set_limits();
	memset(&every, 0xff, sizeof(every)); /* the kernel leaves those out that there are not */
	sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){.sched_priority = 0});
	setpriority(PRIO_PROCESS, 0, 0);
	sched_setaffinity(0, sizeof(every), &every);
	syscall(SYS_ioprio_set, 1, 0, 0); /* of this process, by its niceness: ioprio_set(2) */
	if (!is_in_systems_group())
		leave_group();
}

int main(int argc, char **argv)
{
	sigset_t none;
	keep_variables();
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(SECONDS); /* outlives exec: whatever hangs, or spins, is ended, which is never a yes */
	for (int i = 0; i < 3; i++) /* no record that is opened later MUST become the standard output */
		if (fcntl(i, F_GETFD) < 0 && open("/dev/null", O_RDWR) != i)
			return fail("/dev/null");
	umask(077);
	if (chdir("/") != 0)
		return fail("/");
	if (geteuid() == 0 && IS_GATE && is_certain())
		return 1;
	if (geteuid() == 0) {
		leave_callers_place();
		/* With an argument verify reads no code. */
		if (!ask_agent(IS_GATE ? STANDING : argc == 1 ? CHECK : NOTHING))
			return fail("/dev/stdin");
	}
	char *const command[] = {PYTHON, "-BIS", "-c", PROGRAM, NAME, argc == 2 ? argv[1] : NULL, NULL};
	execv(PYTHON, command);
	return fail(PYTHON);
}
