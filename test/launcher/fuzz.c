/* The launcher under libFuzzer and sanitizers: all of main(), with an imagined kernel, so that an input takes
 * microseconds and nothing of this machine is touched. An input is a line-up of what others decide: arguments,
 * variables, files, the helper's reply. What must never happen is checked here, or by fuzz.ts, which is told of each
 * input and what the launcher made of it, and asks the helper's own parsers.
 *
 * HEADER (8 bytes), then parts that end with RS (0x1e); a part's first byte says what it is:
 *   w: an argument, v: a variable, r: a reply, A to L: a file (PATHS). */
#define _GNU_SOURCE
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 8, MOST = 64, FILES = 12, FOLDERS = 4, UID = 1000 };
enum { LIVE = 100, HOST = 101, LOCK = 102, SOCKET = 103, FOLDER = 200, FILE_ = 300, OTHER = 400 };
/* In the header's second byte. */
enum { HAS_HOST = 1, HAS_LOCK = 2, IS_REFUSED = 4, IS_ROOT = 8, IS_CHILD = 16, HIDES_TYPES = 32, NO_SETTING = 64, IS_LATE = 128 };

static const char *const FOLDER_PATHS[FOLDERS] = {"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"};
/* fuzz.ts has the same. The last four are the host's. */
static const char *const PATHS[FILES] = {
	"/etc/sysctl.d/50-a.conf", "/etc/sysctl.d/60-b.conf", "/run/sysctl.d/50-a.conf", "/run/sysctl.d/70-d.conf",
	"/usr/local/lib/sysctl.d/60-b.conf", "/usr/lib/sysctl.d/50-a.conf", "/usr/lib/sysctl.d/80-g.conf", "/etc/sysctl.conf",
	"/etc/sysctl.d/50-a.conf", "/run/sysctl.d/70-d.conf", "/usr/lib/sysctl.d/80-g.conf", "/etc/sysctl.conf"};
enum { FIRST_OF_HOST = 8 };
static const int THRESHOLDS[16] = {0, 1, 22, 53, 70, 79, 80, 81, 100, 443, 631, 1023, 1024, 1025, 32768, 65535};

/* The imagined machine, made from an input. */
static struct {
	uint8_t header[HEADER];
	const uint8_t *files[FILES];
	size_t lengths[FILES];
	uint8_t reply[9 + 64];
	size_t reply_length;
	char *words[MOST + 2], *variables[MOST + 1];
	int word_count, variable_count;
	/* What has happened. */
	jmp_buf end;
	char **executed;
	int status, patience, signals, entry, folder;
	bool ran_helper, is_group_set, is_user_set, is_capset, has_no_new_privs, are_groups_set;
	void *answered;
	struct dirent dirent;
} now;

static bool flag(int bit) { return (now.header[1] & bit) != 0; }

static _Noreturn void fuzz_exit(int status) { now.status = status; longjmp(now.end, 1); }

static int fuzz_execvp(const char *program, char **words)
{
	/* Every word can be read to its end, and nothing of Node's variables is left for the helper. */
	size_t length = strlen(program);
	for (char **at = words; *at != NULL; at++) length += strlen(*at);
	if (flag(IS_CHILD) && now.ran_helper)
		for (char **at = environ; *at != NULL; at++) assert(strncmp(*at, "NODE_", 5) != 0);
	if (length % 7 == 0 && (now.header[7] & 1) != 0) return errno = now.header[7] & 2 ? ENOENT : EACCES, -1;
	now.executed = words;
	longjmp(now.end, 1);
}

static ssize_t fuzz_writev(int descriptor, const struct iovec *parts, int count)
{
	static volatile char last;
	assert(descriptor == STDERR_FILENO && count > 0 && count <= 16);
	for (int i = 0; i < count; i++)
		for (size_t at = 0; at < parts[i].iov_len; at++) last = ((char *)parts[i].iov_base)[at];
	return last;
}

static int index_of_folder(const char *path)
{
	for (int i = 0; i < FOLDERS; i++) if (strcmp(path, FOLDER_PATHS[i]) == 0) return i;
	return -1;
}

static int fuzz_openat(int folder, const char *path, int flags, ...)
{
	bool is_host = folder == HOST;
	if (folder >= FOLDER && folder < FOLDER + FOLDERS * 2) {
		assert(strchr(path, '/') == NULL);
	} else if (strstr(path, "portshim-") != NULL && (flags & O_CREAT) != 0) {
		return flag(HAS_LOCK) ? LOCK : (errno = EACCES, -1);
	} else if (index_of_folder(path) >= 0) {
		return FOLDER + index_of_folder(path) + (is_host ? FOLDERS : 0);
	}
	for (int i = is_host ? FIRST_OF_HOST : 0; i < (is_host ? FILES : FIRST_OF_HOST); i++) {
		if (now.files[i] == NULL) continue;
		if (strcmp(path, PATHS[i]) == 0) return FILE_ + i;
		if (folder >= FOLDER && folder < OTHER && strncmp(PATHS[i], FOLDER_PATHS[(folder - FOLDER) % FOLDERS], strlen(FOLDER_PATHS[(folder - FOLDER) % FOLDERS])) == 0 &&
		    strcmp(strrchr(PATHS[i], '/') + 1, path) == 0) return FILE_ + i;
	}
	return errno = ENOENT, -1;
}

static int fuzz_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/run/host") == 0) return flag(HAS_HOST) ? HOST : (errno = ENOENT, -1);
	if (strncmp(path, "/proc/sys/", 10) == 0) return flag(NO_SETTING) ? (errno = ENOENT, -1) : LIVE;
	return (flags & O_DIRECTORY) != 0 || strncmp(path, "/dev/", 5) == 0 ? OTHER : (errno = ENOENT, -1);
}

static int fuzz_setgroups(long count, const gid_t *groups)
{
	static volatile gid_t last;
	for (long i = 0; i < count; i++) last = groups[i];
	now.are_groups_set = true;
	return (int)(last * 0);
}

static int fuzz_setresgid(long real, long effective, long saved)
{
	assert(real == effective && effective == saved && now.are_groups_set);
	now.is_group_set = true;
	return 0;
}

static int fuzz_setresuid(long real, long effective, long saved)
{
	assert(real == effective && effective == saved && now.is_group_set);
	now.is_user_set = true;
	return 0;
}

static long fuzz_syscall(long number, ...)
{
	va_list values;
	va_start(values, number);
	long result = 0;
	if (number == SYS_openat2) {
		int folder = va_arg(values, int);
		result = fuzz_openat(folder, va_arg(values, const char *), 0);
	} else if (number == SYS_rt_sigprocmask) {
		va_arg(values, int);
		va_arg(values, void *);
		sigemptyset(va_arg(values, sigset_t *));
	} else if (number == SYS_setgroups) {
		long count = va_arg(values, long);
		result = fuzz_setgroups(count, va_arg(values, const gid_t *));
	} else if (number == SYS_setresgid || number == SYS_setresuid) {
		long real = va_arg(values, long), effective = va_arg(values, long), saved = va_arg(values, long);
		result = (number == SYS_setresgid ? fuzz_setresgid : fuzz_setresuid)(real, effective, saved);
	} else if (number == SYS_capset) now.is_capset = true;
	va_end(values);
	return result;
}

static ssize_t fuzz_read(int descriptor, void *bytes, size_t size)
{
	if (descriptor == LIVE) return snprintf(bytes, size, "%d\n", THRESHOLDS[now.header[0] % 16]);
	if (descriptor < FILE_ || descriptor >= FILE_ + FILES) return errno = EBADF, -1;
	size_t length = now.lengths[descriptor - FILE_];
	if (length > size) length = size;
	memcpy(bytes, now.files[descriptor - FILE_], length);
	return (ssize_t)length;
}

static int fuzz_fstat(int descriptor, struct stat *status)
{
	if (descriptor < 0) return errno = EBADF, -1;
	memset(status, 0, sizeof *status);
	status->st_mode = descriptor >= FILE_ && descriptor < OTHER ? S_IFREG | 0644 : S_IFDIR | 0700;
	status->st_uid = flag(IS_ROOT) ? 0 : UID;
	status->st_size = flag(IS_REFUSED);
	status->st_mtim.tv_sec = now.header[2];
	return 0;
}

static DIR *fuzz_fdopendir(int folder) { now.folder = folder; now.entry = 0; return (DIR *)&now; }
static int fuzz_closedir(DIR *entries) { return entries == (DIR *)&now ? 0 : -1; }
static struct dirent *fuzz_readdir(DIR *entries)
{
	assert(entries == (DIR *)&now);
	int folder = now.folder - FOLDER, first = folder < FOLDERS ? 0 : FIRST_OF_HOST, last = folder < FOLDERS ? FIRST_OF_HOST : FILES;
	const char *path = FOLDER_PATHS[folder % FOLDERS];
	while (first + now.entry < last) {
		int i = first + now.entry++;
		if (now.files[i] == NULL || strncmp(PATHS[i], path, strlen(path)) != 0 || PATHS[i][strlen(path)] != '/') continue;
		strcpy(now.dirent.d_name, strrchr(PATHS[i], '/') + 1);
		now.dirent.d_type = flag(HIDES_TYPES) ? DT_UNKNOWN : DT_REG;
		return &now.dirent;
	}
	return NULL;
}

static int fuzz_sigaction(int signal, const struct sigaction *to, struct sigaction *from)
{
	(void)signal, (void)to;
	if (from != NULL) *from = (struct sigaction){.sa_handler = now.header[4] & 1 ? SIG_IGN : SIG_DFL};
	return 0;
}

/* Up to three signals, then none. */
static int fuzz_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *patience)
{
	static const int SIGNALS[4] = {SIGCHLD, SIGTERM, SIGWINCH, SIGHUP};
	(void)set;
	info->si_code = SI_USER;
	info->si_pid = 2;
	if (now.signals++ < (now.header[5] & 3)) return SIGNALS[(now.header[5] >> (2 * now.signals)) & 3];
	return patience == NULL ? SIGCHLD : (errno = EAGAIN, -1);
}

static pid_t fuzz_waitpid(pid_t child, int *status, int options)
{
	(void)options;
	if (child == -1) return -1;
	if (now.patience++ < (now.header[4] >> 6)) return 0;
	*status = now.header[3] < 100 ? now.header[3] << 8 : now.header[3] == 100 ? SIGKILL : 77 << 8;
	return child;
}

static pid_t fuzz_fork(void) { now.ran_helper = true; now.patience = 0; return flag(IS_CHILD) ? 0 : 2; }

/* Only a whole reply is one; what the input leaves out is the last byte, over and over. */
static ssize_t fuzz_recv(int descriptor, void *bytes, size_t size, int flags)
{
	(void)descriptor, (void)flags;
	now.answered = bytes;
	if (now.reply_length == 0) return errno = EAGAIN, -1;
	uint8_t *at = bytes;
	static const size_t OFFSETS[9] = {0, 4, 5, 8, 9, 12, 13, 14, 15};
	memset(bytes, 0, size);
	for (size_t i = 0; i < now.reply_length && i < 9; i++) at[OFFSETS[i]] = now.reply[i];
	if (now.reply_length > 9) {
		size_t home = 4 * (4 + 1024), length = now.reply_length - 9;
		memset(at + home, now.reply[now.reply_length - 1], size - home);
		memcpy(at + home, now.reply + 9, length);
	}
	return flag(IS_LATE) ? (ssize_t)size - 1 : (ssize_t)size;
}

static int fuzz_flock(int lock, int how) { (void)how; assert(lock == LOCK); return now.patience++ < (now.header[4] >> 4 & 3) ? (errno = EWOULDBLOCK, -1) : 0; }
static int fuzz_prctl(int what, ...)
{
	if (what == PR_SET_NO_NEW_PRIVS) now.has_no_new_privs = true;
	if (what == PR_CAPBSET_READ) {
		va_list values;
		va_start(values, what);
		int capability = va_arg(values, int);
		va_end(values);
		return capability > 40 ? -1 : 1;
	}
	return 0;
}
static int fuzz_setenv(const char *name, const char *value, int overwrites) { return strlen(name) + strlen(value) > 1 << 20 ? -1 : overwrites - 1; }
static int fuzz_pwrite(int lock, const void *bytes, size_t length, off_t at) { assert(lock == LOCK && length == 1 && at == 0); return *(const char *)bytes + 1; }
static uid_t fuzz_getuid(void) { return flag(IS_ROOT) ? 0 : UID; }
static int fuzz_stat(const char *path, struct stat *status) { (void)path; return fuzz_fstat(OTHER, status); }
static ssize_t fuzz_readlink(const char *path, char *target, size_t size)
{
	(void)path;
	if ((now.header[6] & 3) == 1) return -1;
	if ((now.header[6] & 3) == 2) { /* as long as it can be */
		memset(target, 'd', size);
		target[0] = target[size - 9] = '/';
		return (ssize_t)size;
	}
	return (ssize_t)(stpcpy(target, "/usr/local/bin/portshim") - target);
}
static int fuzz_access(const char *path, int mode) { (void)mode; return strlen(path) < 4096 + 64 && (now.header[6] & 4) != 0 ? (errno = ENOENT, -1) : 0; }
static int fuzz_socketpair(int domain, int type, int protocol, int *ends) { (void)domain, (void)type, (void)protocol; ends[0] = SOCKET, ends[1] = SOCKET + 1; return 0; }
static int fuzz_clock(clockid_t clock, struct timespec *time) { (void)clock; *time = (struct timespec){.tv_sec = 100}; return 0; }

#define exit(status) fuzz_exit(status)
#define execvp(program, words) fuzz_execvp(program, words)
#define writev(descriptor, parts, count) fuzz_writev(descriptor, parts, count)
#define open(...) fuzz_open(__VA_ARGS__)
#define openat(...) fuzz_openat(__VA_ARGS__)
#define syscall(...) fuzz_syscall(__VA_ARGS__)
#define read(descriptor, bytes, size) fuzz_read(descriptor, bytes, size)
#define fstat(descriptor, status) fuzz_fstat(descriptor, status)
#define stat(path, status) fuzz_stat(path, status)
#define fdopendir(folder) fuzz_fdopendir(folder)
#define readdir(entries) fuzz_readdir(entries)
#define closedir(entries) fuzz_closedir(entries)
#define close(descriptor) ((void)(descriptor), 0)
#define fcntl(descriptor, ...) (descriptor)
#define mkdir(path, mode) ((void)(path), 0)
#define clock_gettime(clock, time) fuzz_clock(clock, time)
#define sigaction(signal, to, from) fuzz_sigaction(signal, to, from)
#define sigprocmask(how, set, old) 0
#define sigpending(set) sigemptyset(set)
#define sigtimedwait(set, info, patience) fuzz_sigtimedwait(set, info, patience)
#define waitpid(child, status, options) fuzz_waitpid(child, status, options)
#define waitid(type, id, info, options) ((void)((info)->si_pid = now.header[4] >> 1 & 1))
#define kill(process, signal) ((void)(signal))
#define raise(signal) 0
#define fork() fuzz_fork()
#define recv(descriptor, bytes, size, flags) fuzz_recv(descriptor, bytes, size, flags)
#define flock(lock, how) fuzz_flock(lock, how)
#define pwrite(lock, bytes, length, at) fuzz_pwrite(lock, bytes, length, at)
#define setenv(name, value, overwrites) fuzz_setenv(name, value, overwrites)
#define prctl(...) fuzz_prctl(__VA_ARGS__)
#define getuid() fuzz_getuid()
#define geteuid() fuzz_getuid()
#define getgid() fuzz_getuid()
#define getegid() fuzz_getuid()
#define getpid() 3
#define getppid() 4
#define readlink(path, target, size) fuzz_readlink(path, target, size)
#define access(path, mode) fuzz_access(path, mode)
#define socketpair(domain, type, protocol, ends) fuzz_socketpair(domain, type, protocol, ends)
#define dup2(from, to) ((void)(from))
#define main launcher_main

#include "../../shim/launcher/satisfied.c"
#include "../../shim/launcher/launcher.c"

#undef close
#undef open
#undef read
#undef main

/* What fuzz.ts is told: the length of the rest, this, and the input. */
struct verdict {
	uint32_t length;
	int32_t start, timeout;
	uint8_t is_plain, is_optional, can_prompt, has_command, is_satisfied, starts, ran_helper, status;
};

static struct {
	int descriptor;
	size_t length;
	uint8_t bytes[1 << 16];
} told;

static void flush(void)
{
	for (size_t at = 0; at < told.length;) {
		ssize_t length = write(told.descriptor, told.bytes + at, told.length - at);
		if (length <= 0) _exit(3); /* fuzz.ts has found something, and is gone */
		at += (size_t)length;
	}
	told.length = 0;
}

static void tell(const struct verdict *verdict, const uint8_t *input, size_t length)
{
	if (told.descriptor == 0) {
		told.descriptor = getenv("FUZZ_TELL") == NULL ? -1 : atoi(getenv("FUZZ_TELL"));
		if (told.descriptor > 0) atexit(flush);
	}
	if (told.descriptor < 0 || sizeof *verdict + length > sizeof told.bytes) return;
	if (told.length + sizeof *verdict + length > sizeof told.bytes) flush();
	memcpy(told.bytes + told.length, verdict, sizeof *verdict);
	memcpy(told.bytes + told.length + sizeof *verdict, input, length);
	told.length += sizeof *verdict + length;
}

static void take(const uint8_t *part, size_t length)
{
	if (length == 0) return;
	const uint8_t *rest = part + 1;
	length--;
	if (*part == 'w' && now.word_count <= MOST) now.words[now.word_count++] = strndup((const char *)rest, length);
	if (*part == 'v' && now.variable_count < MOST) now.variables[now.variable_count++] = strndup((const char *)rest, length);
	if (*part == 'r') {
		memset(now.reply, 0, sizeof now.reply);
		now.reply_length = length < sizeof now.reply ? length : sizeof now.reply;
		memcpy(now.reply, rest, now.reply_length);
	}
	if (*part >= 'A' && *part < 'A' + FILES) {
		now.files[*part - 'A'] = rest;
		now.lengths[*part - 'A'] = length;
	}
}

/* The real environment is the fuzzer's again when this returns. */
static struct verdict run(void)
{
	char **outer = environ, *inner[MOST + 1];
	memcpy(inner, now.variables, sizeof inner);
	environ = inner;
	struct request request = read_request(now.word_count - 1, now.words + 1);
	struct verdict verdict = {
		.start = request.start,
		.timeout = request.timeout,
		.is_plain = request.is_plain,
		.is_optional = request.is_optional,
		.can_prompt = request.can_prompt,
		.has_command = request.command != NULL,
		.is_satisfied = request.is_plain && is_satisfied(request.start),
	};
	if (setjmp(now.end) == 0) now.status = launcher_main(now.word_count, now.words);
	verdict.ran_helper = now.ran_helper;
	verdict.status = (uint8_t)now.status;
	verdict.starts = now.executed != NULL && !(now.ran_helper && flag(IS_CHILD));
	environ = outer;
	return verdict;
}

static void check(const struct verdict *verdict)
{
	uint32_t count = (uint32_t)(now.reply[5] | now.reply[6] << 8 | now.reply[7] << 16) | (uint32_t)now.reply[8] << 24;
	bool is_home = now.reply_length <= 9 || now.reply[now.reply_length - 1] == '\0';
	bool is_whole = now.answered != NULL && now.reply_length > 0 && !flag(IS_LATE) && count <= 1024 && is_home;
	bool says_start = is_whole && (now.reply[0] & START) != 0, says_user = is_whole && (now.reply[0] & HAS_USER) != 0;
	bool is_tied = now.word_count > 3 && strcmp(now.words[1], "--with-parent") == 0;
	if (!verdict->starts || is_tied) return;
	/* The command starts only if there is nothing to do, if the helper says so, or if --optional does. */
	assert(verdict->has_command);
	assert(verdict->is_satisfied || (now.ran_helper && says_start) || verdict->is_optional);
	if (now.ran_helper && says_start && says_user) assert(now.is_user_set && now.is_group_set && now.are_groups_set);
	if (now.is_user_set && (now.reply[1] != 0 || now.reply[2] != 0)) assert(now.is_capset && now.has_no_new_privs);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
	if (length < HEADER) return -1;
	memset(&now, 0, sizeof now);
	memcpy(now.header, input, HEADER);
	now.words[now.word_count++] = strdup("portshim");
	const uint8_t *end = input + length;
	for (const uint8_t *at = input + HEADER, *next; at < end; at = next + 1) {
		next = memchr(at, 0x1e, (size_t)(end - at));
		if (next == NULL) next = end;
		take(at, (size_t)(next - at));
	}
	struct verdict verdict = run();
	if (now.answered != NULL) memset(now.answered, 0, sizeof(struct reply));
	check(&verdict);
	verdict.length = (uint32_t)(sizeof verdict - sizeof verdict.length + length);
	tell(&verdict, input, length);
	for (int i = 0; i < now.word_count; i++) free(now.words[i]);
	for (int i = 0; i < now.variable_count; i++) free(now.variables[i]);
	return 0;
}
