/* SPDX-License-Identifier: MIT */
/* A directory of groups for the C library (nss(5)), which can err or hang: one group, "colleagues",
 * whose member stands in /run/directory/member. /run/directory/state holds "errs" or "hangs".
 * /run/directory/alias holds "NAME UID GID HOME", another spelling of an account, to which it
 * answers as if it were the account's name. */
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GROUP "colleagues"
#define GROUP_ID 77001

static void read_word(const char *path, char *word, size_t size)
{
	FILE *file = fopen(path, "re");
	word[0] = '\0';
	if (file != NULL) {
		if (fgets(word, (int)size, file) != NULL)
			word[strcspn(word, "\n")] = '\0';
		fclose(file);
	}
}

static enum nss_status answers(int *error)
{
	char state[32];
	read_word("/run/directory/state", state, sizeof state);
	if (strcmp(state, "hangs") == 0)
		sleep(60);
	*error = EAGAIN;
	return strcmp(state, "errs") == 0 ? NSS_STATUS_UNAVAIL : NSS_STATUS_SUCCESS;
}

static enum nss_status fill(struct group *group, char *buffer, size_t size, int *error)
{
	static char *nobody[] = {NULL};
	enum nss_status status = answers(error);
	if (status != NSS_STATUS_SUCCESS)
		return status;
	if (size < sizeof GROUP)
		return *error = ERANGE, NSS_STATUS_TRYAGAIN;
	strcpy(buffer, GROUP);
	*group = (struct group){.gr_name = buffer, .gr_passwd = buffer, .gr_gid = GROUP_ID, .gr_mem = nobody};
	return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_directory_getgrnam_r(const char *name, struct group *group, char *buffer,
					  size_t size, int *error)
{
	if (strcmp(name, GROUP) != 0)
		return NSS_STATUS_NOTFOUND;
	return fill(group, buffer, size, error);
}

enum nss_status _nss_directory_getgrgid_r(gid_t id, struct group *group, char *buffer, size_t size,
					  int *error)
{
	if (id != GROUP_ID)
		return NSS_STATUS_NOTFOUND;
	return fill(group, buffer, size, error);
}

enum nss_status _nss_directory_initgroups_dyn(const char *user, gid_t primary, long *count, long *size,
					      gid_t **ids, long limit, int *error)
{
	char member[256];
	(void)primary;
	(void)limit;
	enum nss_status status = answers(error);
	if (status != NSS_STATUS_SUCCESS)
		return status;
	read_word("/run/directory/member", member, sizeof member);
	if (strcmp(user, member) == 0 && *count < *size)
		(*ids)[(*count)++] = GROUP_ID;
	return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_directory_getpwnam_r(const char *name, struct passwd *account, char *buffer,
					  size_t size, int *error)
{
	char line[512], alias[128], home[256];
	unsigned int uid, gid;
	read_word("/run/directory/alias", line, sizeof line);
	if (sscanf(line, "%127s %u %u %255s", alias, &uid, &gid, home) != 4 || strcmp(name, alias) != 0)
		return NSS_STATUS_NOTFOUND;
	if (size < sizeof alias + sizeof home)
		return *error = ERANGE, NSS_STATUS_TRYAGAIN;
	strcpy(buffer, alias);
	strcpy(buffer + sizeof alias, home);
	*account = (struct passwd){.pw_name = buffer, .pw_passwd = "x", .pw_uid = uid, .pw_gid = gid,
				   .pw_gecos = "", .pw_dir = buffer + sizeof alias, .pw_shell = "/bin/sh"};
	return NSS_STATUS_SUCCESS;
}
