/* SPDX-License-Identifier: MIT */
/* The mark that verify leaves after a yes (pam_totp/records/user/certain.py): no rule may exempt this
 * user, so gate asks without an interpreter.
 * - It MUST only ever make gate ask, and only where gate would ask: under the same settings and
 *   accounts, in the same boot, of a user who has logged in with a code and has no grant.
 * It goes by the name, as the id would have to be looked up: the C library loads other libraries for
 * that, and a directory may take long to answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "launch.h"
#define RUN "/run/pam-totp"
#define STATE "/var/lib/pam-totp"
/* A time that does not fit becomes another number than Python's. Then no mark is equal. */
#define NANOSECONDS(time) \
	((long long)((unsigned long long)(time).tv_sec * 1000000000 + (unsigned long long)(time).tv_nsec))

static bool is_roots(const struct stat *status, mode_t type)
{
	return (status->st_mode & S_IFMT) == type && status->st_uid == 0 && !(status->st_mode & 022);
}

bool read_text(const char *path, char *text, size_t room)
{
	struct stat status;
	int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t length = -1;
	if (file >= 0 && fstat(file, &status) == 0 && is_roots(&status, S_IFREG))
		length = read(file, text, room - 1);
	if (file >= 0)
		close(file);
	text[length > 0 ? length : 0] = '\0';
	return length >= 0 && strlen(text) == (size_t)length;
}

static bool is_folder_of_root(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0 && is_roots(&status, S_IFDIR);
}

static bool is_there(const char *kind, unsigned int uid, bool unknown)
{
	struct stat status;
	char path[100];
	snprintf(path, sizeof(path), STATE "/%s/%u", kind, uid);
	return lstat(path, &status) == 0 || (errno != ENOENT && unknown);
}

/* What tells one state of a file from another, with a space before; zeros where there is no file. */
static void add_identity(char *text, size_t room, const char *path)
{
	struct stat s;
	size_t used = strlen(text);
	if (stat(path, &s) != 0)
		memset(&s, errno == ENOENT ? 0 : 0xff, sizeof(s));
	snprintf(text + used, room - used, " %llu %llu %lld %lld %lld", (unsigned long long)s.st_dev,
		 (unsigned long long)s.st_ino, (long long)s.st_size, NANOSECONDS(s.st_mtim),
		 NANOSECONDS(s.st_ctim));
}

/* Whether the record is a mark of this word that holds now; whose it is. */
static bool holds(const char *kind, const char *name, const char *word, unsigned int *uid)
{
	static const char *const files[] = {"/etc/pam-totp/config.yaml", STATE "/settings/last-good",
					    "/run/pam-totp/settings/last-good", "/etc/passwd"};
	char path[300], mark[600], now[600], boot[64];
	snprintf(path, sizeof(path), RUN "/%s", kind);
	if (!is_folder_of_root(RUN) || !is_folder_of_root(path) ||
	    snprintf(path, sizeof(path), RUN "/%s/%s", kind, name) >= (int)sizeof(path) ||
	    !read_text(path, mark, sizeof(mark)) || sscanf(mark, "pam-totp certain 1 %*s %u ", uid) != 1 ||
	    !read_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)))
		return false;
	snprintf(now, sizeof(now), "pam-totp certain 1 %s %u %.36s", word, *uid, boot);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		add_identity(now, sizeof(now), files[i]);
	return strcmp(mark, now) == 0;
}

bool is_certain(void)
{
	const char *user = getenv("PAM_USER"), *service = getenv("PAM_SERVICE");
	unsigned int uid;
	/* The service pam-totp checks a password again, for our own commands: it never asks. */
	if (user == NULL || service == NULL || strcmp(service, "pam-totp") == 0 || strchr(user, '/') != NULL)
		return false;
	return holds("certain", user, "ask", &uid) && is_there("enforced", uid, false) &&
	       !is_there("grants", uid, true);
}

bool is_in_fleet(void)
{
	const char *user = getenv("PAM_USER");
	unsigned int none;
	return user != NULL && strchr(user, '/') == NULL && holds("store", user, "fleet", &none);
}
