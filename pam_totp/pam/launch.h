/* SPDX-License-Identifier: MIT */
#ifndef LAUNCH_H
#define LAUNCH_H
#include <stdbool.h>
#include <sys/types.h>

/* The text of a file, at most so many bytes with the '\0'. False if there is no such file, or if it is
 * not owned by root, or writable by others. */
bool read_text(const char *path, char *text, size_t room);

/* Whether the user who logs in (PAM_USER) is certain to be asked for a code. */
bool is_certain(void);

/* Whether verify last found that the user who logs in has an account of this very name, and that the store
 * of a fleet is asked, under the settings and accounts of now. */
bool is_in_fleet(void);

/* A variable, or "?" where it could be taken for something else in the log. */
const char *in_log(const char *name);

/* Connects to the agent of this host, if it has one, and sends it what gate or verify asks, which Python
 * then reads the answer to. False if what was typed is lost by that. */
enum asks { NOTHING, STANDING, CHECK };
bool ask_agent(enum asks asks);
#endif
