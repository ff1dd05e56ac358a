/* SPDX-License-Identifier: MIT */
/*
 * The launcher, whole, with the fuzzer's input in the part of the kernel: its variables, the files that
 * it reads, and what each call answers. Aborts when a promise is broken:
 *
 * - It ends with 1, or becomes the interpreter; gate and verify alike, whatever fails.
 * - What it becomes has a deadline, / as its folder, three open descriptors, and of the six variables
 *   at most one each, the last of those given.
 * - gate asks without an interpreter only as root, under a mark that is exact, and without a grant.
 * - It stays in a control group only where the group is one of systemd's own, and root's.
 * - Not as root, it changes no limit and no group, looks at no mark, and calls nobody.
 * - What it says of its call of the agent is said of a call that was taken, and by nobody else.
 * - A question is sent only as Python would send it, and under an exact mark of the store for this very
 *   name; a code only where none was ever sent to a user. What was typed reaches the interpreter byte for
 *   byte, or nothing does.
 * - The log has one line for a failure, and nobody can add a word to it.
 *
 * Built with -fsanitize=fuzzer it is a libFuzzer target. With -DSTANDALONE it makes up its own
 * inputs, as many as its argument says: no clang needed.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 10
#define NAME program_name
#define MOST_VARIABLES 12
#define MOST_FILES 16
#define MOST_TYPED 600
#define promise(holds) ((holds) ? (void)0 : broken(#holds, __LINE__))

static const char *const NAMES[] = {"PAM_USER", "PAM_SERVICE", "PAM_RHOST",
				    "PAM_RUSER", "PAM_TTY", "SSH_AUTH_INFO_0"};
static const char *const OTHERS[] = {"PAM_USE", "PAM_USERS", "LD_PRELOAD", "PAM_TYPE", "", "AGENT_CALL"};
static const char *const IDENTIFIED[] = {"/etc/pam-totp/config.yaml",
					 "/var/lib/pam-totp/settings/last-good",
					 "/run/pam-totp/settings/last-good", "/etc/passwd"};
#define ALL_IDENTIFIED 4
static const char *const GROUPS_TEXTS[] = {
	"0::/\n", "0::/system.slice/ssh.service\n", "0::/user.slice/0::/system.slice/ssh.service\n",
	"1:cpu:/a\n0::/system.slice/a/b\n", "1:cpu:0::/system.slice/a\n0::/user.slice\n",
	"0::/system.slice/../user.slice", "0::/system.slice", "", "\n\n0::/system.slice/x",
};

static const uint8_t *input;
static size_t left;
static char *program_name;
static char *given[MOST_VARIABLES + 1];
static char mark[1024], mark_path[400], boot[80], groups[5000];
static const char *mark_word;
static bool is_beyond; /* a time of the mark that was written last does not fit into its number */
static struct stat identified[ALL_IDENTIFIED];
static bool missing[ALL_IDENTIFIED], unreadable[ALL_IDENTIFIED];
static int mark_file, files[MOST_FILES], file_count;
static struct stat mark_status, folders[2], group_status;
static bool has_grant, is_enforced, unknown[2], is_root;
static bool is_open[3], alarmed, in_root, restrictive, masked, limited, left_group, saw_mark, becomes;
static int logged, called; /* called: the descriptor of a call that was taken */
static int argument_count, ends[2];
static char typed[MOST_TYPED + 1];
static size_t typed_bytes, taken, handed_on;
static bool has_sent, is_unread, is_handed_on, is_asked, says_asked, is_broken;
static char group_asked[5100];
static jmp_buf became;

static void broken(const char *what, int line)
{
	fprintf(stderr, "launcher.c:%d: promise broken: %s\n", line, what);
	abort();
}

static uint8_t next_byte(void)
{
	if (left == 0)
		return 0;
	left--;
	return *input++;
}

static long next_number(void)
{
	uint64_t number = 0;

	for (int size = next_byte() % 9; size > 0; size--)
		number = number << 8 | next_byte();
	return (long)number;
}

/* Mostly printable, now and then long. */
static char *next_text(const char *before)
{
	uint8_t first = next_byte();
	size_t length = first == 255 ? 700 : first == 254 ? 100 : first % 24, used = strlen(before);
	char *text = malloc(used + length + 1);

	memcpy(text, before, used);
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = first >= 254 ? 'x' : next_byte();
		text[used + i] = byte != 0 ? (char)byte : 'a';
	}
	text[used + length] = '\0';
	return text;
}

static const char *last_given(const char *name)
{
	const char *found = NULL;
	size_t length = strlen(name);

	for (int i = 0; given[i] != NULL; i++)
		if (strncmp(given[i], name, length) == 0 && given[i][length] == '=')
			found = given[i];
	return found;
}

static const char *value_of(const char *name)
{
	const char *found = last_given(name);
	return found != NULL ? strchr(found, '=') + 1 : NULL;
}

static void check_variables(char **kept)
{
	size_t count = 0, due = 0;

	for (size_t i = 0; i < 6; i++)
		due += last_given(NAMES[i]) != NULL;
	for (; kept[count] != NULL; count++) {
		bool found = false;
		for (size_t i = 0; i < 6; i++)
			found = found || kept[count] == last_given(NAMES[i]);
		promise(found);
		for (size_t i = 0; i < count; i++)
			promise(kept[i] != kept[count]);
	}
	promise(count == due);
}

static bool is_roots_alone(const struct stat *status, mode_t type)
{
	return S_ISREG(type) == S_ISREG(status->st_mode) && S_ISDIR(type) == S_ISDIR(status->st_mode) &&
	       (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) && status->st_uid == 0 &&
	       (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* As pam_totp/records/user/certain.py writes it. */
static void write_exact_mark(char *text, size_t room, unsigned int uid)
{
	size_t used = (size_t)snprintf(text, room, "pam-totp certain 1 %s %u %.36s", mark_word, uid, boot);

	is_beyond = false;
	for (int i = 0; i < ALL_IDENTIFIED; i++) {
		const struct stat *s = &identified[i];
		__int128 times[] = {(__int128)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec,
				    (__int128)s->st_ctim.tv_sec * 1000000000 + s->st_ctim.tv_nsec};
		if (missing[i])
			times[0] = times[1] = 0;
		used += (size_t)snprintf(text + used, room - used, " %lu %lu %ld", missing[i] ? 0 : s->st_dev,
					 missing[i] ? 0 : s->st_ino, missing[i] ? 0 : s->st_size);
		for (int t = 0; t < 2; t++) {
			bool fits = times[t] == (long)times[t];
			is_beyond = is_beyond || !fits;
			used += (size_t)snprintf(text + used, room - used, fits ? " %ld" : " beyond",
						 (long)times[t]);
		}
	}
}

/* Whether the mark is one of this word, exactly. */
static bool is_exact(const char *word)
{
	char exact[1024], begin[40];

	snprintf(begin, sizeof(begin), "pam-totp certain 1 %s ", word);

	if (!is_roots_alone(&folders[0], S_IFDIR) || !is_roots_alone(&folders[1], S_IFDIR))
		return false;
	if (!is_roots_alone(&mark_status, S_IFREG) || strncmp(mark, begin, strlen(begin)) != 0)
		return false;
	for (int i = 0; i < ALL_IDENTIFIED; i++)
		if (unreadable[i])
			return false;
	mark_word = word;
	write_exact_mark(exact, sizeof(exact), (unsigned int)strtoul(mark + strlen(begin), NULL, 10));
	return strcmp(exact, mark) == 0 && !is_beyond;
}

static bool may_ask_at_once(void)
{
	const char *user = value_of("PAM_USER"), *service = value_of("PAM_SERVICE");

	if (user == NULL || strchr(user, '/') != NULL || strlen(user) > 255)
		return false;
	if (service == NULL || strcmp(service, "pam-totp") == 0)
		return false;
	if (!is_root || program_name[0] != 'g' || has_grant || unknown[0] || !is_enforced)
		return false;
	return is_exact("ask");
}

/* Whether the store may know by which name who logs in has an account: such a mark was read last. */
static bool is_known_to_store(void)
{
	const char *user = value_of("PAM_USER");

	return user != NULL && strncmp(mark_path, "/run/pam-totp/store/", 20) == 0 &&
	       strcmp(mark_path + 20, user) == 0 && is_exact("fleet");
}

/* A whole number of digits, and at most one byte behind them, which is 0. */
static bool is_typed_code(void)
{
	size_t digits = 0;

	while (digits < typed_bytes && isdigit((unsigned char)typed[digits]))
		digits++;
	return digits > 5 && digits < 9 &&
	       (typed_bytes == digits || (typed_bytes == digits + 1 && typed[digits] == '\0'));
}

/* A field of the agent's line is what the environment has, and ends where the next one begins. */
static const char *after_field(const char *line, const char *name, size_t most)
{
	const char *value = value_of(name) != NULL ? value_of(name) : "";

	promise(strcmp(line, value) == 0 && strlen(value) <= most && strchr(value, '?') == NULL);
	return line + strlen(line) + 1;
}

static ssize_t fake_send(int peer, const char *line, size_t length, int flags)
{
	const char *rest = line + strlen(line) + 1;
	char copy[1024];

	promise(is_root && peer == called && called > 2 && flags == MSG_NOSIGNAL && !is_asked);
	promise(length < sizeof(copy) && line[length - 1] == '\n');
	memcpy(copy, line, length);
	copy[length - 1] = '\0';
	rest = copy + (rest - line);
	promise(*rest != '\0' && is_known_to_store());
	if (program_name[0] == 'g') {
		promise(strcmp(copy, "standing") == 0);
		rest = after_field(rest, "PAM_USER", 255);
	} else {
		promise(strcmp(copy, "check") == 0 && argument_count == 1 && is_handed_on);
		promise(!has_sent && is_typed_code());
		rest = after_field(rest, "PAM_USER", 255);
		promise(strcmp(rest, typed) == 0); /* its '\0' is the end of the text anyway */
		rest = after_field(rest + strlen(rest) + 1, "PAM_SERVICE", 64);
		rest = after_field(rest, "PAM_RHOST", 255);
	}
	promise(rest == copy + length);
	if (next_byte() % 4 == 1) {
		is_broken = true;
		return (ssize_t)(next_byte() % length) - 1;
	}
	is_asked = true;
	return (ssize_t)length;
}

static ssize_t fake_read(int file, void *text, size_t room)
{
	size_t part = typed_bytes - taken;

	if (file != 0)
		return read(file, text, room);
	promise(is_root && program_name[0] == 'v' && argument_count == 1 && !has_sent);
	promise(is_known_to_store());
	if (next_byte() % 16 == 1) {
		errno = EIO;
		is_unread = true;
		return -1;
	}
	if (part > 0 && next_byte() % 4 == 1)
		part = 1 + next_byte() % part;
	part = part < room ? part : room;
	memcpy(text, typed + taken, part);
	taken += part;
	return (ssize_t)part;
}

static int fake_pipe(int both[2])
{
	int of_pipe[2];

	promise(taken == 0);
	if (next_byte() % 16 == 1 || pipe(of_pipe) != 0)
		return -1;
	for (int i = 0; i < 2; i++)
		files[file_count++] = both[i] = ends[i] = of_pipe[i];
	return 0;
}

static ssize_t fake_write(int file, const void *text, size_t length)
{
	if (file != ends[1])
		return write(file, text, length);
	promise(length == taken && !is_unread && memcmp(text, typed, length) == 0);
	if (next_byte() % 16 == 1)
		return length > 0 ? (ssize_t)length - 1 : -1;
	handed_on = length;
	return (ssize_t)length;
}

static int fake_dup2(int file, int as)
{
	promise(file == ends[0] && as == 0 && handed_on == taken);
	if (next_byte() % 16 == 1)
		return -1;
	is_handed_on = true;
	return 0;
}

static bool may_stay(void)
{
	char *text = strdup(groups), *rest = text, *line;
	bool found = false;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (strncmp(line, "0::/system.slice/", 17) == 0 && group_status.st_uid == 0) {
			promise(strncmp(group_asked, "/sys/fs/cgroup/system.slice/", 28) == 0);
			found = found || strncmp(group_asked + 14, line + 3, strlen(group_asked + 14)) == 0;
		}
	free(text);
	return found;
}

static int fake_execv(const char *path, char *const command[])
{
	promise(strcmp(path, "/usr/bin/python3") == 0 && strcmp(command[0], path) == 0);
	promise(strcmp(command[1], "-BIS") == 0 && strcmp(command[2], "-c") == 0);
	promise(strcmp(command[4], program_name) == 0);
	promise(command[5] == NULL || (strcmp(command[5], "look") == 0 && command[6] == NULL));
	promise(alarmed && in_root && restrictive && masked);
	promise(is_open[0] && is_open[1] && is_open[2]);
	promise(is_root == limited);
	promise(taken == 0 || (is_handed_on && !is_unread));
	promise(says_asked == is_asked);
	promise(!is_root || left_group || may_stay());
	check_variables(environ);
	if (next_byte() % 2 == 0) {
		becomes = true;
		longjmp(became, 1);
	}
	errno = next_byte() % 134;
	return -1;
}

static int file_of(const char *text)
{
	int file = memfd_create("fuzzed", MFD_CLOEXEC);

	promise(file_count < MOST_FILES);
	files[file_count++] = file; /* closed in the end, whether the launcher has done so or not */
	if (file < 0 || write(file, text, strlen(text)) < 0 || lseek(file, 0, SEEK_SET) != 0)
		abort();
	return file;
}

static int fake_open(const char *path, int flags)
{
	if (strcmp(path, "/dev/null") == 0) {
		for (int i = 0; i < 3 && next_byte() != 1; i++)
			if (!is_open[i]) {
				is_open[i] = true;
				return i;
			}
		return next_byte() % 2 == 1 ? 7 : -1;
	}
	promise((flags & O_CLOEXEC) != 0 && is_root);
	if (strncmp(path, "/sys/fs/cgroup/", 15) == 0) {
		left_group = true;
		return next_byte() == 1 ? -1 : file_of("");
	}
	promise((flags & (O_NOFOLLOW | O_NONBLOCK)) == (O_NOFOLLOW | O_NONBLOCK));
	if (strcmp(path, "/proc/self/cgroup") == 0)
		return file_of(groups);
	if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		return file_of(boot);
	bool of_store = strncmp(path, "/run/pam-totp/store/", 20) == 0;
	promise(of_store || (program_name[0] == 'g' && strncmp(path, "/run/pam-totp/certain/", 22) == 0));
	promise(strchr(path + (of_store ? 20 : 22), '/') == NULL);
	snprintf(mark_path, sizeof(mark_path), "%s", path);
	saw_mark = true;
	return mark_file = file_of(mark);
}

static int fake_fstat(int file, struct stat *status)
{
	static const struct stat kernels = {.st_mode = S_IFREG | 0444};

	*status = file == mark_file && saw_mark ? mark_status : kernels;
	return 0;
}

static int fake_lstat(const char *path, struct stat *status)
{
	if (strcmp(path, "/run/pam-totp/sent") == 0) {
		errno = next_byte() % 2 == 0 ? EACCES : ENOENT;
		if (!has_sent)
			errno = ENOENT;
		else if (errno == ENOENT)
			return 0;
		return -1;
	}
	if (strcmp(path, "/run/pam-totp") == 0 || strcmp(path, "/run/pam-totp/store") == 0 ||
	    (strcmp(path, "/run/pam-totp/certain") == 0 && program_name[0] == 'g')) {
		*status = folders[path[13] != '\0'];
		return 0;
	}
	bool of_grants = strncmp(path, "/var/lib/pam-totp/grants/", 25) == 0;
	promise(of_grants || strncmp(path, "/var/lib/pam-totp/enforced/", 27) == 0);
	if (of_grants ? has_grant : is_enforced)
		return 0;
	errno = unknown[of_grants ? 0 : 1] ? EACCES : ENOENT;
	return -1;
}

static int fake_stat(const char *path, struct stat *status)
{
	for (int i = 0; i < ALL_IDENTIFIED; i++)
		if (strcmp(path, IDENTIFIED[i]) == 0) {
			*status = identified[i];
			errno = missing[i] ? ENOENT : EACCES;
			return missing[i] || unreadable[i] ? -1 : 0;
		}
	snprintf(group_asked, sizeof(group_asked), "%s", path);
	*status = group_status;
	return 0;
}

static void fake_syslog(int priority, const char *format, ...)
{
	char line[4096], fields[3][300], verdict[20];
	int end = -1;
	va_list arguments;

	va_start(arguments, format);
	promise(vsnprintf(line, sizeof(line), format, arguments) < (int)sizeof(line));
	va_end(arguments);
	promise(priority == LOG_CRIT && ++logged == 1);
	for (const char *name = "usr"; *name != '\0'; name++) {
		/* user=, service=, rhost=: each up to the next space, and of harmless characters. */
		const char *key = *name == 'u' ? " user=" : *name == 's' ? " service=" : " rhost=";
		const char *value = strstr(line, key) + strlen(key);
		size_t length = strcspn(value, " ");
		promise(length < sizeof(fields[0]));
		for (size_t i = 0; i < length; i++)
			promise(isalnum((unsigned char)value[i]) || strchr(".:@_%-?", value[i]) != NULL);
	}
	sscanf(line, "verdict=%19s reason=internal-error user=%*s%n", verdict, &end);
	promise(strcmp(verdict, program_name[0] == 'g' ? "ask" : "refuse") == 0);
	promise(strchr(line, '\n') == NULL && strstr(line, " device= detail=\"cannot run /") != NULL);
	const char *quote = strchr(line, '"');
	promise(strchr(quote + 1, '"') == line + strlen(line) - 1);
}

static int fake_setrlimit(int what, const struct rlimit *limit)
{
	promise(is_root && limit->rlim_cur <= limit->rlim_max);
	promise(what != RLIMIT_CORE || limit->rlim_cur <= 1);
	limited = true;
	return next_byte() == 1 ? -1 : 0;
}

static int fake_getrlimit(int what, struct rlimit *limit)
{
	(void)what;
	limit->rlim_max = (rlim_t)next_number();
	limit->rlim_cur = 0;
	return next_byte() == 1 ? -1 : 0;
}

static int fake_connect(int peer, const struct sockaddr *address, socklen_t length)
{
	const struct sockaddr_un *agent = (const void *)address;

	promise(is_root && length == sizeof(*agent) && agent->sun_family == AF_UNIX);
	promise(strcmp(agent->sun_path, "/run/pam-totp/agent.sock") == 0);
	if (next_byte() % 4 == 1)
		return -1;
	called = peer;
	return 0;
}

static int fake_setenv(const char *name, const char *value, int replaces)
{
	long long seconds;
	int peer = -1, end = -1, asked = -1;

	sscanf(value, "%d %lld.%*9[0-9] %1d%n", &peer, &seconds, &asked, &end);
	promise(!is_broken && asked == is_asked);
	says_asked = asked == 1;
	promise(strcmp(name, "AGENT_CALL") == 0 && replaces == 1);
	promise(called > 2 && peer == called && end == (int)strlen(value));
	return 0;
}

static unsigned int fake_alarm(unsigned int seconds)
{
	promise(seconds == SECONDS && masked);
	alarmed = true;
	return 0;
}

static int fake_chdir(const char *path)
{
	promise(strcmp(path, "/") == 0);
	return (in_root = next_byte() != 1) ? 0 : -1;
}

static int fake_sigprocmask(int how, const sigset_t *set)
{
	promise(how == SIG_SETMASK && sigismember(set, SIGALRM) == 0);
	masked = true;
	return 0;
}

#define main launcher_main
#define execv fake_execv
#define open fake_open
#define fstat fake_fstat
#define lstat fake_lstat
#define stat(path, status) fake_stat(path, status)
#define fcntl(file, what) (is_open[file] ? 0 : -1)
#define openlog(...) ((void)0)
#define syslog fake_syslog
#define setrlimit fake_setrlimit
#define socket(...) (next_byte() == 1 ? -1 : file_of(""))
#define connect fake_connect
#define setenv fake_setenv
#define getrlimit fake_getrlimit
#define read fake_read
#define write fake_write
#define pipe fake_pipe
#define dup2 fake_dup2
#define send fake_send
#define alarm fake_alarm
#define chdir fake_chdir
#define umask(mode) (restrictive = (mode) == 077)
#define geteuid() (is_root ? 0U : 1000U)
#define signal(number, action) ((void)(number))
#define sigprocmask(how, set, old) fake_sigprocmask(how, set)
#define sched_setscheduler(...) ((void)0)
#define setpriority(...) ((void)0)
#define sched_setaffinity(...) ((void)0)
#undef syscall
#define syscall(...) ((void)0)
#include "../../pam_totp/pam/launch.c"
#undef GROUPS
#include "../../pam_totp/pam/certain.c"
#include "../../pam_totp/pam/ask_agent.c"
#undef main
#undef read
#undef write
#undef pipe
#undef dup2
#undef open
#undef fstat
#undef lstat
#undef stat
#undef fcntl

static struct stat next_status(mode_t type)
{
	static const mode_t modes[] = {0755, 0600, 0775, 0757, 0777, 0400};
	struct stat status = {.st_mode = type | modes[next_byte() % 6]};

	if (next_byte() % 8 == 1)
		status.st_mode = (next_byte() % 2 == 1 ? S_IFLNK : S_IFIFO) | 0644;
	status.st_uid = next_byte() % 4 == 1 ? 1000 : 0;
	return status;
}

static void make_up_variables(void)
{
	int count = 3 + next_byte() % (MOST_VARIABLES - 3);

	for (int i = 0; i < count; i++) {
		char name[64];
		uint8_t which = next_byte(), value = next_byte() % 8;
		snprintf(name, sizeof(name), "%s=%s",
			 which < 192 ? NAMES[(which + i) % 6] : OTHERS[which % 6],
			 value == 1 ? "pam-totp" : value == 0 ? "alice" : "");
		given[i] = next_byte() % 16 == 1 ? strndup(name, strlen(name) - 1) : next_text(name);
	}
	given[count] = NULL;
}

/* Mostly a code, or nearly one. */
static void make_up_typing(void)
{
	uint8_t first = next_byte();

	typed_bytes = first == 255 ? MOST_TYPED : first % 8 == 7 ? first : 6 + first % 4;
	for (size_t i = 0; i < typed_bytes; i++)
		typed[i] = (char)('0' + (first + i) % 10);
	if (typed_bytes > 0 && first % 3 == 1)
		typed[typed_bytes - 1] = '\0';
	if (typed_bytes > 1 && first % 16 == 2)
		typed[typed_bytes - 1] = typed[typed_bytes - 2] = '\0';
	if (typed_bytes > 0 && first % 16 == 1)
		typed[next_byte() % typed_bytes] = (char)next_byte();
	typed[typed_bytes] = '\0';
}

static void make_up_files(void)
{
	char *text;

	for (int i = 0; i < ALL_IDENTIFIED; i++) {
		uint8_t how = next_byte() % 16;
		missing[i] = how == 1;
		unreadable[i] = how == 2;
		identified[i] = (struct stat){
			.st_dev = (dev_t)next_number(), .st_ino = (ino_t)next_number(), .st_size = next_number(),
			.st_mtim = {next_number(), next_byte()}, .st_ctim = {next_number(), next_byte()}};
	}
	snprintf(boot, sizeof(boot), "%s\n", "8c4b9b56-0000-4000-8000-000000000000");
	if (next_byte() % 8 == 1) {
		text = next_text("8c4b");
		snprintf(boot, sizeof(boot), "%.70s", text);
		free(text);
	}
	mark_word = program_name[0] == 'v' || next_byte() % 4 == 1 ? "fleet" : "ask";
	write_exact_mark(mark, sizeof(mark), (unsigned int)next_number());
	switch (next_byte() % 8) {
	case 1: /* cut off */
		mark[(size_t)next_number() % sizeof(mark)] = '\0';
		break;
	case 2: /* changed */
		mark[(size_t)next_number() % strlen(mark)] ^= 1;
		break;
	case 3: /* continued */
		text = next_text(" ");
		snprintf(mark + strlen(mark), sizeof(mark) - strlen(mark), "%.200s", text);
		free(text);
		break;
	case 4:
		text = next_text(mark_word[0] == 'a' ? "pam-totp certain 1 ask " : "pam-totp certain 1 fleet ");
		snprintf(mark, sizeof(mark), "%s", text);
		free(text);
		break;
	}
	text = next_text(GROUPS_TEXTS[next_byte() % (sizeof(GROUPS_TEXTS) / sizeof(*GROUPS_TEXTS))]);
	snprintf(groups, sizeof(groups), "%s", text);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char gate[] = "gate", verify[] = "verify", look[] = "look";
	char **own_environment = environ, *argv[] = {gate, look, look, NULL};
	volatile int result = 1;

	input = data;
	left = size;
	program_name = next_byte() % 2 == 1 ? verify : gate;
	is_root = next_byte() % 8 != 1;
	for (int i = 0; i < 3; i++)
		is_open[i] = next_byte() % 4 != 1;
	has_grant = next_byte() % 8 == 1;
	is_enforced = next_byte() % 8 != 1;
	unknown[0] = !has_grant && next_byte() % 8 == 1;
	unknown[1] = next_byte() % 2 == 1;
	folders[0] = next_status(S_IFDIR);
	folders[1] = next_status(S_IFDIR);
	mark_status = next_status(S_IFREG);
	group_status = next_status(S_IFDIR);
	has_sent = next_byte() % 4 == 1;
	make_up_variables();
	make_up_files();
	make_up_typing();
	taken = handed_on = 0;
	ends[0] = ends[1] = -1;
	is_unread = is_handed_on = is_asked = says_asked = is_broken = false;
	argument_count = 1 + next_byte() % 3;
	alarmed = in_root = restrictive = masked = limited = left_group = saw_mark = becomes = false;
	logged = called = 0;
	group_asked[0] = mark_path[0] = '\0';

	environ = given;
	if (setjmp(became) == 0)
		result = launcher_main(argument_count, argv);
	environ = own_environment;

	promise(result == 1);
	promise(becomes + logged <= 1);
	promise(is_root || (!limited && !left_group && !saw_mark));
	if (!becomes && logged == 0)
		promise(may_ask_at_once());
	if ((becomes || limited) && is_root)
		promise(!may_ask_at_once());
	for (int i = 0; given[i] != NULL; i++)
		free(given[i]);
	while (file_count > 0)
		close(files[--file_count]);
	return 0;
}

#ifdef STANDALONE
#define INPUT_BYTES 320
#define ZEROS 12
#include "standalone.h"
#endif
