/* SPDX-License-Identifier: MIT */
/* On a host of a fleet: its agent gets the question of gate or verify while Python starts, which takes
 * longer than the answer. Nothing is decided here. Python reads the answer, and goes by it only if this
 * was the very line that it would have sent (pam_totp/records/host/agent.py).
 * - A question MUST go to the store only where Python would send it: about a user whom verify found on
 *   this host by that name, under the settings with which it asked the store.
 * - A code besides only where none is ever sent to users, since verify compares those first.
 * - What was typed MUST reach Python byte for byte, or nothing does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "launch.h"
#define AGENT "/run/pam-totp/agent.sock"
#define SENT "/run/pam-totp/sent"
#define MAX_WAIT_MS 200 /* as MAX_EARLY_SECONDS there */
#define MAX_TYPED 513 /* as many as verify reads: one more than pam_exec passes on */

/* All that was typed, with a '\0' behind it. It stays on the standard input. False if it was lost. */
static bool read_typed(char *typed, size_t *length)
{
	static int ends[2], input; /* not static, gcc 14 takes the standard input for a leak */
	ssize_t more = 1;
	if (pipe(ends) != 0)
		return true; /* nothing is read here then */
	for (*length = 0; *length < MAX_TYPED && more > 0; *length += more > 0 ? (size_t)more : 0)
		more = read(STDIN_FILENO, typed + *length, MAX_TYPED - *length);
	typed[*length] = '\0';
	bool is_written = more >= 0 && write(ends[1], typed, *length) == (ssize_t)*length;
	input = is_written ? dup2(ends[0], STDIN_FILENO) : -1;
	close(ends[0]);
	close(ends[1]);
	return input == STDIN_FILENO || *length == 0; /* of what cannot be read Python meets the same, and says so */
}

/* Whether it is a code of an app, and nothing else: some of pam_exec's releases append a '\0'. */
static bool is_code(const char *typed, size_t length)
{
	size_t digits = strspn(typed, "0123456789");
	return digits >= 6 && digits <= 8 && typed[digits] == '\0' && length - digits <= 1;
}

/* The line that Python would send; its length, or 0 where it might be another one. */
static int question(char *line, size_t room, const char *code)
{
	const char *user = in_log("PAM_USER"), *service = in_log("PAM_SERVICE"), *rhost = in_log("PAM_RHOST");
	if (*user == '\0' || *user == '?' || *service == '?' || *rhost == '?' || strlen(service) > 64)
		return 0;
	if (code == NULL)
		return snprintf(line, room, "standing%c%s\n", 0, user);
	return snprintf(line, room, "check%c%s%c%s%c%s%c%s\n", 0, user, 0, code, 0, service, 0, rhost);
}

static bool sends_no_codes(void)
{
	struct stat status;
	return lstat(SENT, &status) != 0 && errno == ENOENT;
}

/* Whether the agent has waited for so long that it may soon give up: Python calls anew then. */
static bool is_late(const struct timespec *since)
{
	struct timespec now;
	return clock_gettime(CLOCK_MONOTONIC, &now) != 0 ||
	       (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000 > MAX_WAIT_MS;
}

/* The variable says which descriptor was connected, when, and whether the question was asked. */
static void leave_call(int peer, const struct timespec *now, bool is_asked)
{
	static char call[64];
	snprintf(call, sizeof(call), "%d %lld.%09ld %d", peer, (long long)now->tv_sec, now->tv_nsec, is_asked);
	setenv("AGENT_CALL", call, 1);
}

bool ask_agent(enum asks asks)
{
	const struct sockaddr_un agent = {.sun_family = AF_UNIX, .sun_path = AGENT};
	char typed[MAX_TYPED + 1] = "", line[700];
	size_t length = 0;
	int due = 0;
	struct timespec now;
	int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (peer < 0)
		return true;
	if (connect(peer, (const struct sockaddr *)&agent, sizeof(agent)) != 0 ||
	    clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
		close(peer);
		return true;
	}
	if (asks == STANDING && is_in_fleet())
		due = question(line, sizeof(line), NULL);
	if (asks == CHECK && is_in_fleet() && sends_no_codes()) {
		if (!read_typed(typed, &length))
			return false;
		if (is_code(typed, length) && !is_late(&now))
			due = question(line, sizeof(line), typed);
	}
	if (due > 0 && send(peer, line, (size_t)due, MSG_NOSIGNAL) != due) {
		close(peer); /* with it what came of the line; Python asks anew */
		return true;
	}
	leave_call(peer, &now, due > 0);
	return true;
}
