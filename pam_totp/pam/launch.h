/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <sys/types.h>

/* The text of a file, at most so many bytes with the '\0'. False if there is no such file, or if it is
 * not owned by root, or writable by others. */
bool read_text(const char *path, char *text, size_t room);

/* Whether the user who logs in (PAM_USER) is certain to be asked for a code. */
bool is_certain(void);
