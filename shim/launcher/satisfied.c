/* The fast path's question: is there certainly nothing to do? It needs no rules of sysctl.d(5): if every line that
 * could set the threshold asks for at least the value in force, then whichever wins is satisfied, masked or not. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME "ip_unprivileged_port_start"
enum { WEB = 80, LARGEST_PORT = 65535, RESOLVE_IN_ROOT = 0x10 }; /* the last is linux/openat2.h's */

/* What the drop-ins are compared with, and what was found. */
struct question {
	int live;      /* the current threshold: ports below it need a privilege (ip-sysctl.rst) */
	int host;      /* the host's root, or -1: the files are our own */
	bool is_named; /* a drop-in that nothing masks sets the live value by the key's own name */
};

/* Returns the number, 0 to MOST, or -1 if the text is anything but that: "080", "+80", "", "80 # web". */
int decimal(const char *text, int most)
{
	long number = 0;
	if (*text == '\0' || (*text == '0' && text[1] != '\0')) return -1;
	for (; *text != '\0'; text++) {
		number = number * 10 + (*text - '0');
		if (*text < '0' || *text > '9' || number > most) return -1;
	}
	return (int)number;
}

static char *trimmed(char *text)
{
	text += strspn(text, " \t");
	for (char *end = strchr(text, '\0'); end > text && strchr(" \t", end[-1]) != NULL; end--) end[-1] = '\0';
	return text;
}

/* Whether the key could be the threshold's, or a glob that matches it. */
static bool may_name(const char *key)
{
	for (const char *at = key; *at != '\0'; at++) if (*at == *NAME && strncmp(at, NAME, sizeof NAME - 1) == 0) return true;
	const char *tail = NULL;
	for (const char *at = key; (at = strpbrk(at, "*?[]")) != NULL; at++) tail = at + 1;
	if (tail == NULL) return false;
	/* systemd's globs have braces and escapes, and ignore a final slash, or a dot that becomes one. */
	size_t length = strlen(tail);
	if (strpbrk(key, "\\{}") != NULL || length == 0 || strchr("./", tail[length - 1]) != NULL) return true;
	return length < sizeof NAME && strcmp(&NAME[sizeof NAME - 1 - length], tail) == 0;
}

/* Whether this line is certainly no reason to do something. */
static bool is_harmless_line(struct question *question, char *line, bool is_unmasked)
{
	char *value = trimmed(line), *key = trimmed(strsep(&value, "="));
	if (*key == '#' || *key == ';' || !may_name(key)) return true;
	/* Above 80 it has to be the live value itself: a larger one could be invalid, and then 80 is wanted. */
	int asked = value == NULL ? -1 : decimal(trimmed(value), LARGEST_PORT);
	if (asked < question->live || (question->live > WEB && asked != question->live)) return false;
	question->is_named |= is_unmasked && (strcmp(key, "net.ipv4." NAME) == 0 || strcmp(key, "net/ipv4/" NAME) == 0);
	return true;
}

static int open_file(const struct question *question, int folder, const char *path, int flags)
{
	flags |= O_RDONLY | O_CLOEXEC | O_NONBLOCK; /* O_NONBLOCK: a FIFO would block every start */
	if (question->host < 0) return openat(folder, path, flags); /* not open(), for which musl makes two system calls */
	uint64_t how[] = {(uint64_t)flags, 0, RESOLVE_IN_ROOT}; /* the host's links name the host's files */
	return (int)syscall(SYS_openat2, question->host, path, how, sizeof how);
}

#define is_absent() (errno == ENOENT || errno == ENOTDIR || errno == EACCES) /* else the helper has to look */
/* KIND is what readdir(3) says: with 1,000 drop-ins a system call less counts. */
static bool is_harmless_file(struct question *question, int folder, const char *path, int kind, bool is_unmasked)
{
	static char text[1 << 16];
	int file = open_file(question, folder, path, 0);
	if (file < 0) return is_absent();
	struct stat status;
	ssize_t length = kind == DT_REG ? 0 : fstat(file, &status);
	/* One read gives all of a regular file. */
	if (kind == DT_REG || (length == 0 && S_ISREG(status.st_mode))) length = read(file, text, sizeof text);
	close(file);
	if (length < 0 || length == sizeof text) return false;
	text[length] = '\0';
	/* systemd's read_line() ends a line at a CR and a NUL, too. */
	for (char *line = text, *next; line < text + length; line = next) {
		next = line + strcspn(line, "\r\n");
		*next++ = '\0';
		if (!is_harmless_line(question, line, is_unmasked)) return false;
	}
	return true;
}

static bool is_harmless_folder(struct question *question, const char *path, bool is_unmasked)
{
	int folder = open_file(question, AT_FDCWD, path, O_DIRECTORY);
	DIR *entries = folder < 0 ? NULL : fdopendir(folder);
	if (entries == NULL) return is_absent();
	bool is_harmless = true;
	struct dirent *entry;
	while (errno = 0, is_harmless && (entry = readdir(entries)) != NULL) {
		char file[512]; /* a name has 255 bytes at most */
		size_t length = strlen(entry->d_name);
		if (entry->d_name[0] == '.' || length < 5 || strcmp(entry->d_name + length - 5, ".conf") != 0) continue;
		stpcpy(stpcpy(stpcpy(file, path), "/"), entry->d_name);
		if (question->host < 0) stpcpy(file, entry->d_name);
		is_harmless = is_harmless_file(question, folder, file, entry->d_type, is_unmasked);
	}
	is_harmless = is_harmless && errno == 0;
	closedir(entries);
	return is_harmless;
}

static bool is_harmless_tree(struct question *question)
{
	const char *folders[] = {"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"};
	for (int i = 0; i < 4; i++)
		if (!is_harmless_folder(question, folders[i], question->host < 0 && i == 0)) return false;
	return is_harmless_file(question, AT_FDCWD, "/etc/sysctl.conf", DT_UNKNOWN, false);
}

/* In one read: files below /proc/sys answer only at offset 0. */
static int live_threshold(void)
{
	char text[8];
	int file = open("/proc/sys/net/ipv4/" NAME, O_RDONLY | O_CLOEXEC); /* if there is none (gVisor), read fails */
	ssize_t length = read(file, text, sizeof text);
	close(file);
	if (length < 1 || text[length - 1] != '\n') return -1;
	text[length - 1] = '\0';
	return decimal(text, LARGEST_PORT);
}

/* Whether the helper would certainly find nothing to do. WANTED is the threshold that an option asks for, or -1: then
 * what the drop-ins of sysctl.d(5) ask for counts, here and on a host that is seen under /run/host, and else 80. */
bool is_satisfied(int wanted)
{
	struct question question = {.live = live_threshold(), .host = -1};
	if (question.live < 0 || wanted >= 0) return question.live >= 0 && question.live <= wanted;
	if (!is_harmless_tree(&question)) return false;
	question.host = open("/run/host", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool is_harmless = question.host < 0 ? is_absent() : is_harmless_tree(&question);
	close(question.host);
	return is_harmless && (question.live <= WEB || question.is_named);
}
