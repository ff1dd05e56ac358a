/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <sys/types.h>

/* The text of a file, at most so many bytes with the '\0'; false without a file of root's alone. */
bool read_text(const char *path, char *text, size_t room);

/* Whether whoever logs in is certain to be asked for a code. */
bool is_certain(void);
