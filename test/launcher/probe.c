// The command that portshim starts in the tests, which reports what exec gave it. `probe MODE FILE [argument…]`:
//   report   writes everything that exec handed on to FILE, as JSON; strings are bytes, those outside ASCII as \u00XX
//   drain    the same, with what stdin holds up to its end
//   line     the same, after a prompt on stdout and a line from stdin
//   serve    appends the time at which main began to FILE and waits; signals have whatever effect they arrived with
//   handle   the same, but ends well on HUP, INT, QUIT and TERM, as a server does that stops in good order
//   exit     ends with status FILE;  die: ends by signal FILE
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char *json;
static size_t length, room;

static void put(const char *text, size_t size) {
	while (length + size + 1 > room && (json = realloc(json, room = 2 * room + size + 65536)) == NULL) abort();
	memcpy(json + length, text, size);
	json[length += size] = 0;
}

static void text(const char *s) { put(s, strlen(s)); }

static void quoted(const char *bytes, size_t size) {
	char escaped[8];
	text("\"");
	for (size_t i = 0; i < size; i++) {
		unsigned char c = bytes[i];
		if (c >= ' ' && c < 127 && c != '"' && c != '\\') put(&bytes[i], 1);
		else put(escaped, snprintf(escaped, sizeof escaped, "\\u%04x", c));
	}
	text("\"");
}

static void key(const char *name) {
	if (json[length - 1] != '{') text(",\n");
	quoted(name, strlen(name));
	text(":");
}

static void number(const char *name, long long value) {
	char digits[32];
	key(name);
	put(digits, snprintf(digits, sizeof digits, "%lld", value));
}

static void list(const char *name, char **strings) {
	key(name);
	text("[");
	for (char **s = strings; *s; s++) {
		if (s != strings) text(",\n ");
		quoted(*s, strlen(*s));
	}
	text("]");
}

// Sometimes only three descriptors are free here, so nothing stays open across calls.
static char *content(const char *path, size_t *size) {
	static char buffer[1 << 18];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	*size = 0;
	if (fd < 0) return buffer[0] = 0, buffer;
	while ((n = read(fd, buffer + *size, sizeof buffer - 1 - *size)) > 0) *size += n;
	close(fd);
	buffer[*size] = 0;
	return buffer;
}

static void file(const char *name, const char *path) {
	size_t size;
	char *found = content(path, &size);
	key(name);
	quoted(found, size);
}

static void link_of(const char *name, const char *path) {
	char target[65536];
	ssize_t n = readlink(path, target, sizeof target);
	key(name);
	if (n < 0) quoted(strerror(errno), strlen(strerror(errno)));
	else quoted(target, n);
}

static void descriptors(void) {
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	char path[64], name[32];
	key("descriptors");
	text("{");
	while (directory && (entry = readdir(directory))) {
		if (!isdigit(entry->d_name[0]) || atoi(entry->d_name) == dirfd(directory)) continue;
		int fd = atoi(entry->d_name);
		struct termios modes;
		struct stat status;
		key(entry->d_name);
		text("{");
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		link_of("link", path);
		number("flags", fcntl(fd, F_GETFD));
		number("status", fcntl(fd, F_GETFL));
		number("owner", fcntl(fd, F_GETOWN));
		number("offset", lseek(fd, 0, SEEK_CUR));
		number("mode", fstat(fd, &status) == 0 ? status.st_mode : 0);
		if (tcgetattr(fd, &modes) == 0) {
			snprintf(name, sizeof name, "%x %x %x %x", modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag);
			key("terminal");
			quoted(name, strlen(name));
		}
		text("}");
	}
	if (directory) closedir(directory);
	text("}");
}

// Those that say what a process is, not what it has done so far.
static const char *const STATUS[] = {"Umask", "Pid", "PPid", "TracerPid", "Uid", "Gid", "Groups", "NSpid", "NSpgid", "NSsid",
	"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
	"Seccomp_filters", "Speculation_Store_Bypass", "SpeculationIndirectBranch", "Cpus_allowed", "Mems_allowed", "THP_enabled"};

static void status(void) {
	size_t size;
	char *found = content("/proc/self/status", &size), *line, *rest = found;
	while ((line = strsep(&rest, "\n"))) {
		char *colon = strchr(line, ':');
		if (!colon) continue;
		*colon = 0;
		for (size_t i = 0; i < sizeof STATUS / sizeof *STATUS; i++) {
			if (strcmp(STATUS[i], line)) continue;
			key(line);
			quoted(colon + 1 + strspn(colon + 1, "\t "), strlen(colon + 1 + strspn(colon + 1, "\t ")));
		}
	}
}

static void locks(void) {
	size_t size;
	char *rest = content("/proc/locks", &size), *line, own[32];
	snprintf(own, sizeof own, " %d ", getpid());
	key("locks");
	text("[");
	while ((line = strsep(&rest, "\n"))) {
		// "1: POSIX  ADVISORY  WRITE 123 …": the first number depends on the locks of others.
		char *what = strchr(line, ':');
		if (!what || !strstr(line, own)) continue;
		if (json[length - 1] != '[') text(",");
		quoted(what, strlen(what));
	}
	text("]");
}

static void report(int argc, char **argv, const char *input, size_t input_size) {
	char path[64];
	struct itimerval timer;
	struct sched_param priority;
	cpu_set_t cpus;
	int value;
	(void)argc;
	put("{", 1);
	// First, because the rest uses descriptors.
	descriptors();
	number("pid", getpid());
	number("ppid", getppid());
	number("pgrp", getpgrp());
	number("session", getsid(0));
	list("argv", argv);
	list("environment", environ);
	status();
	file("limits", "/proc/self/limits");
	file("oom_score_adj", "/proc/self/oom_score_adj");
	file("personality", "/proc/self/personality");
	file("coredump_filter", "/proc/self/coredump_filter");
	file("cgroup", "/proc/self/cgroup");
	file("loginuid", "/proc/self/loginuid");
	file("name", "/proc/self/comm");
	snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	file("children", path);
	link_of("cwd", "/proc/self/cwd");
	link_of("root", "/proc/self/root");
	link_of("exe", "/proc/self/exe");
	locks();
	key("execfn");
	quoted((char *)getauxval(AT_EXECFN), strlen((char *)getauxval(AT_EXECFN)));
	number("secure", getauxval(AT_SECURE));
	errno = 0;
	number("nice", getpriority(PRIO_PROCESS, 0));
	number("policy", sched_getscheduler(0));
	number("priority", sched_getparam(0, &priority) == 0 ? priority.sched_priority : -1);
	number("affinity", sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : -1);
	number("ioprio", syscall(SYS_ioprio_get, 1, 0));
	number("dumpable", prctl(PR_GET_DUMPABLE));
	number("securebits", prctl(PR_GET_SECUREBITS));
	number("keepcaps", prctl(PR_GET_KEEPCAPS));
	number("timerslack", prctl(PR_GET_TIMERSLACK));
	number("nonewprivs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	number("thpdisable", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	prctl(PR_GET_CHILD_SUBREAPER, &value);
	number("subreaper", value);
	prctl(PR_GET_PDEATHSIG, &value);
	number("deathsig", value);
	// In steps larger than a slow start's allocations.
	number("alarm", getitimer(ITIMER_REAL, &timer) == 0 ? (timer.it_value.tv_sec + 999) / 1000 : -1);
	value = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	number("controlling", value >= 0);
	number("foreground", value >= 0 ? tcgetpgrp(value) : -1);
	if (value >= 0) close(value);
	key("input");
	quoted(input, input_size);
	file("last_pid", "/proc/sys/kernel/ns_last_pid");
	put("}\n", 2);
	int out = open(argv[2], O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (out < 0 || write(out, json, length) != (ssize_t)length) _exit(97);
}

static void stop(int signal) { _exit(signal == 0); }

int main(int argc, char **argv) {
	static char input[1 << 16];
	struct timespec now;
	size_t size = 0;
	ssize_t n;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc < 3) return 98;
	const char *mode = argv[1];
	if (!strcmp(mode, "exit")) return atoi(argv[2]);
	if (!strcmp(mode, "die")) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		raise(atoi(argv[2]));
		return 98;
	}
	if (!strcmp(mode, "serve") || !strcmp(mode, "handle")) {
		char line[64];
		if (*mode == 'h') for (int i = 0; i < 4; i++) signal((int[]){SIGHUP, SIGINT, SIGQUIT, SIGTERM}[i], stop);
		int out = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
		n = snprintf(line, sizeof line, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
		if (write(out, line, n) != n) return 97;
		if (isatty(1) && write(1, "serving\n", 8) != 8) return 97;
		for (;;) pause();
	}
	if (!strcmp(mode, "line")) {
		if (write(1, "ready> ", 7) != 7) return 97;
		if ((n = read(0, input, sizeof input)) > 0) size = n;
	}
	if (!strcmp(mode, "drain")) while ((n = read(0, input + size, sizeof input - size)) > 0) size += n;
	report(argc, argv, input, size);
	return 0;
}
