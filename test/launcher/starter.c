// Starts a command with properties that Node and a shell cannot give it, in mount, network and process namespaces of
// its own, and watches what becomes of it. `starter FILE`: FILE holds words, each ended by NUL: the verbs of VERBS
// below, each with its values, in the order in which they are to be done. Writes one line of JSON to stdout when it is
// over.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SETTING "/proc/sys/net/ipv4/ip_unprivileged_port_start"
#define MOST 400000

static char *words[MOST], *arguments[MOST], *variables[MOST];
static int word_count, argument_count, variable_count;
static int first, terminal = -1;
static char terminal_name[64];
static const char *hangup;
static long long patience = 20000, began;
static struct { const char *when; long long after; int number, group, kept; long long at; } signals[64];
static struct { const char *when, *bytes; int rows; } typed[64];
static int signal_count, typed_count;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
	va_list values;
	va_start(values, format);
	dprintf(2, "starter: ");
	vdprintf(2, format, values);
	dprintf(2, ": %s\n", strerror(errno));
	_exit(99);
}

static void check(long result, const char *what) {
	if (result < 0) fail("%s", what);
}

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void write_file(const char *path, const char *value) {
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	check(fd, path);
	check(write(fd, value, strlen(value)), path);
	close(fd);
}

static ssize_t read_file(const char *path, char *bytes, size_t room) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, bytes, room - 1);
	if (fd >= 0) close(fd);
	bytes[size < 0 ? 0 : size] = 0;
	return size < 0 ? 0 : size;
}

static int children(pid_t pid) {
	char path[64], text[4096];
	int count = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
	read_file(path, text, sizeof text);
	for (char *at = text; (at = strchr(at, ' ')); at++) count++;
	return count;
}

static void capabilities(unsigned long long effective, unsigned long long permitted, unsigned long long inheritable) {
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++) {
		data[i].effective = effective >> (32 * i);
		data[i].permitted = permitted >> (32 * i);
		data[i].inheritable = inheritable >> (32 * i);
	}
	check(syscall(SYS_capset, &header, data), "capset");
}

enum phase { PLAN, MOUNTS, PROCESS };

#define N(i) strtoll(v[i], NULL, 0)
static void plan_arg(char **v) { arguments[argument_count++] = v[0]; }
static void plan_env(char **v) { variables[variable_count++] = v[0]; }
static void plan_first(char **v) { (void)v; first = 1; }
static void plan_patience(char **v) { patience = N(0); }
static void plan_signal(char **v) {
	signals[signal_count].when = v[0];
	signals[signal_count].after = N(1) * 1000;
	signals[signal_count++].number = N(2);
}
static void plan_group_signal(char **v) {
	plan_signal(v);
	signals[signal_count - 1].group = 1;
}
static void plan_hangup(char **v) { hangup = v[0]; }
static void plan_terminal(char **v) {
	(void)v;
	check(terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), "posix_openpt");
	check(grantpt(terminal), "grantpt");
	check(unlockpt(terminal), "unlockpt");
	check(ptsname_r(terminal, terminal_name, sizeof terminal_name), "ptsname");
}
static void plan_type(char **v) {
	typed[typed_count].when = v[0];
	typed[typed_count++].bytes = v[1];
}
static void plan_resize(char **v) {
	typed[typed_count].when = v[0];
	typed[typed_count++].rows = N(1);
}
static void bind_mount(char **v) { check(mount(v[0], v[1], NULL, MS_BIND, NULL), v[1]); }
static void empty(char **v) { check(mount("tmpfs", v[0], "tmpfs", 0, "mode=755"), v[0]); }
static void readonly(char **v) {
	check(mount(v[0], v[0], NULL, MS_BIND, NULL), v[0]);
	check(mount(NULL, v[0], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), v[0]);
}
static void make_parents(char *path) {
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
}
static void make(char **v) {
	make_parents(v[0]);
	int fd = open(v[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	check(fd, v[0]);
	check(write(fd, v[1], strlen(v[1])), v[0]);
	close(fd);
}
static void folder(char **v) {
	make_parents(v[0]);
	check(mkdir(v[0], 0700), v[0]);
	check(chown(v[0], N(1), N(1)), v[0]);
}
static void shell(char **v) { if (system(v[0]) != 0) fail("%s", v[0]); }
static void threshold(char **v) { write_file(SETTING, v[0]); }
static void cwd(char **v) { check(chdir(v[0]), v[0]); }
static void gone(char **v) {
	check(mkdir(v[0], 0700), v[0]);
	check(chdir(v[0]), v[0]);
	check(rmdir(v[0]), v[0]);
}
static void mask(char **v) { umask(N(0)); }
static void limit(char **v) {
	struct rlimit limits = {N(1), N(2)};
	check(setrlimit(N(0), &limits), "setrlimit");
}
static void nicely(char **v) { check(setpriority(PRIO_PROCESS, 0, N(0)), "setpriority"); }
static void block(char **v) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, N(0));
	check(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask");
}
static void ignore(char **v) { if (signal(N(0), SIG_IGN) == SIG_ERR) fail("signal"); }
static void pending(char **v) { check(kill(getpid(), N(0)), "kill"); }
static void open_file(char **v) {
	int fd = open(v[1], N(2), 0666);
	check(fd, v[1]);
	if (fd == N(0)) return;
	check(dup2(fd, N(0)), "dup2");
	close(fd);
}
static void close_file(char **v) { close(N(0)); }
static void seek(char **v) { check(lseek(N(0), N(1), SEEK_SET), "lseek"); }
static void fill(char **v) {
	int ends[2];
	check(pipe(ends), "pipe");
	check(write(ends[1], v[1], strlen(v[1])), "write");
	close(ends[1]);
	check(dup2(ends[0], N(0)), "dup2");
	if (ends[0] != N(0)) close(ends[0]);
}
static void lock(char **v) {
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	check(fcntl(N(0), F_SETLK, &whole), "F_SETLK");
	check(flock(N(0), LOCK_EX), "flock");
}
static void session(char **v) { (void)v; check(setsid(), "setsid"); }
static void group(char **v) { (void)v; check(setpgid(0, 0), "setpgid"); }
static void user(char **v) {
	gid_t groups[] = {N(0), 4242};
	check(setgroups(2, groups), "setgroups");
	check(setresgid(N(0), N(0), N(0)), "setresgid");
	check(setresuid(N(0), N(0), N(0)), "setresuid");
}
static void bounding(char **v) {
	for (int i = 0; i < 64; i++) if (!(strtoull(v[0], NULL, 0) >> i & 1)) prctl(PR_CAPBSET_DROP, i);
}
static void caps(char **v) { capabilities(strtoull(v[0], NULL, 0), strtoull(v[1], NULL, 0), strtoull(v[2], NULL, 0)); }
static void ambient(char **v) { check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, N(0), 0, 0), "ambient"); }
static void control(char **v) { check(prctl(N(0), N(1), 0, 0, 0), "prctl"); }
static void oom(char **v) { write_file("/proc/self/oom_score_adj", v[0]); }
static void persona(char **v) { check(personality(N(0)), "personality"); }
static void affinity(char **v) {
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(N(0), &set);
	check(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}
static void scheduler(char **v) {
	struct sched_param none = {.sched_priority = N(1)};
	check(sched_setscheduler(0, N(0), &none), "sched_setscheduler");
}
static void ioprio(char **v) { check(syscall(SYS_ioprio_set, 1, 0, N(0)), "ioprio_set"); }
static void alarm_in(char **v) { alarm(N(0)); }
// A child that the command inherits: 0 is dead and not yet waited for, 1 lives, 2 dies while the command has another
// child.
static void child(char **v) {
	pid_t parent = getpid(), pid = fork();
	check(pid, "fork");
	if (pid > 0) {
		// If CHLD is ignored, it is gone altogether.
		if (N(0) == 0) waitid(P_PID, pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
		return;
	}
	if (N(0) == 0) _exit(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (N(0) == 1 || children(parent) < 2) usleep(500);
	_exit(0);
}

static const struct { const char *name; int values; enum phase phase; void (*run)(char **); } VERBS[] = {
	{"arg", 1, PLAN, plan_arg}, {"env", 1, PLAN, plan_env}, {"first", 0, PLAN, plan_first},
	{"patience", 1, PLAN, plan_patience}, {"signal", 3, PLAN, plan_signal}, {"terminal", 0, PLAN, plan_terminal},
	{"type", 2, PLAN, plan_type}, {"resize", 2, PLAN, plan_resize}, {"hangup", 1, PLAN, plan_hangup}, {"signal-group", 3, PLAN, plan_group_signal},
	{"bind", 2, MOUNTS, bind_mount}, {"empty", 1, MOUNTS, empty}, {"readonly", 1, MOUNTS, readonly},
	{"make", 2, MOUNTS, make}, {"folder", 2, MOUNTS, folder}, {"shell", 1, MOUNTS, shell}, {"threshold", 1, MOUNTS, threshold},
	{"cwd", 1, PROCESS, cwd}, {"gone", 1, PROCESS, gone}, {"umask", 1, PROCESS, mask}, {"limit", 3, PROCESS, limit},
	{"nice", 1, PROCESS, nicely}, {"block", 1, PROCESS, block}, {"ignore", 1, PROCESS, ignore},
	{"pend", 1, PROCESS, pending}, {"open", 3, PROCESS, open_file}, {"close", 1, PROCESS, close_file},
	{"seek", 2, PROCESS, seek}, {"fill", 2, PROCESS, fill}, {"lock", 1, PROCESS, lock}, {"session", 0, PROCESS, session},
	{"group", 0, PROCESS, group}, {"user", 1, PROCESS, user}, {"bounding", 1, PROCESS, bounding},
	{"caps", 3, PROCESS, caps}, {"ambient", 1, PROCESS, ambient}, {"prctl", 2, PROCESS, control},
	{"oom", 1, PROCESS, oom}, {"personality", 1, PROCESS, persona}, {"affinity", 1, PROCESS, affinity},
	{"scheduler", 2, PROCESS, scheduler}, {"ioprio", 1, PROCESS, ioprio}, {"alarm", 1, PROCESS, alarm_in},
	{"child", 1, PROCESS, child},
};

static void perform(enum phase phase) {
	for (int i = 0; i < word_count;) {
		size_t verb = 0;
		while (verb < sizeof VERBS / sizeof *VERBS && strcmp(VERBS[verb].name, words[i])) verb++;
		if (verb == sizeof VERBS / sizeof *VERBS) fail("unknown verb %s", words[i]);
		if (VERBS[verb].phase == phase) VERBS[verb].run(&words[i + 1]);
		i += 1 + VERBS[verb].values;
	}
}

static void become(void) {
	perform(PROCESS);
	if (terminal >= 0) {
		check(setsid(), "setsid");
		int fd = open(terminal_name, O_RDWR);
		check(fd, terminal_name);
		check(ioctl(fd, TIOCSCTTY, 0), "TIOCSCTTY");
		for (int i = 0; i < 3; i++) check(dup2(fd, i), "dup2");
		if (fd > 2) close(fd);
	}
	execve(arguments[0], arguments, variables);
	fail("%s", arguments[0]);
}

static void read_words(const char *path) {
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd, path);
	fstat(fd, &status);
	char *bytes = malloc(status.st_size + 1);
	if (read(fd, bytes, status.st_size) != status.st_size) fail("%s", path);
	close(fd);
	for (char *s = bytes; s < bytes + status.st_size; s += strlen(s) + 1) words[word_count++] = s;
}

static void quoted(FILE *out, const char *bytes, size_t size) {
	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = bytes[i];
		if (c >= ' ' && c < 127 && c != '"' && c != '\\') fputc(c, out);
		else fprintf(out, "\\u%04x", c);
	}
	fputc('"', out);
}

// The processes of the namespace but the first one, which is ours; prints them to `out`, if given.
static int others(FILE *out) {
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	char path[300], command[512];
	int count = 0;
	while (directory && (entry = readdir(directory))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !strcmp(entry->d_name, "1")) continue;
		if (count++, !out) continue;
		snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
		ssize_t size = read_file(path, command, sizeof command);
		if (count > 1) fputc(',', out);
		quoted(out, command, size);
	}
	if (directory) closedir(directory);
	return count;
}

// `when` is "" (from the start on), "+" (after the signal before it) or a file that must hold something.
static int is_due(int i, long long *due) {
	struct stat status;
	const char *when = signals[i].when;
	if (!*when) return *due = began + signals[i].after, 1;
	if (*when == '+') return *due = signals[i - 1].at + signals[i].after, 1;
	if (signals[i].at == 0 && (stat(when, &status) < 0 || status.st_size == 0)) return 0;
	if (signals[i].at == 0) signals[i].at = now();
	return *due = signals[i].at + signals[i].after, 1;
}

// Whether the command has a handler for the signal just now.
static int catches(pid_t pid, int number) {
	char path[64], status[8192], *mask;
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	read_file(path, status, sizeof status);
	return (mask = strstr(status, "SigCgt:")) ? strtoull(mask + 7, NULL, 16) >> (number - 1) & 1 : 0;
}

int main(int argc, char **argv) {
	static char screen[1 << 16];
	size_t shown = 0, answered = 0;
	int next = 0, next_typed = 0, status = 0, timed_out = 0, ready[2];
	if (argc != 2) return 98;
	read_words(argv[1]);
	syscall(SYS_close_range, 3, ~0U, 0);
	perform(PLAN);
	check(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID), "unshare");
	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
	check(pipe2(ready, O_CLOEXEC), "pipe");
	began = now();
	pid_t init = fork();
	check(init, "fork");
	if (init == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		check(mount("proc", "/proc", "proc", 0, NULL), "proc");
		perform(MOUNTS);
		if (!first && terminal >= 0) close(terminal);
		if (first) {
			prctl(PR_SET_PDEATHSIG, 0);
			close(ready[0]);
			write(ready[1], "", 1);
			become();
		}
		write(ready[1], "", 1);
		for (;;) if (wait(NULL) < 0) usleep(500);
	}
	close(ready[1]);
	char byte;
	if (read(ready[0], &byte, 1) != 1) fail("the namespaces could not be made");
	began = now();
	pid_t command = first ? init : fork();
	check(command, "fork");
	if (command == 0) become();

	for (;;) {
		long long due, wait_for = 500000;
		pid_t ended = waitpid(command, &status, WNOHANG);
		if (ended == command) break;
		if (now() - began > patience * 1000000) {
			timed_out = 1;
			kill(command, SIGKILL);
			waitpid(command, &status, 0);
			break;
		}
		if (next < signal_count && is_due(next, &due)) {
			long long left = due - now();
			if (left <= 0) {
				// By its pid in its own namespace.
				pid_t pid = first ? 1 : 2;
				int is_caught = catches(pid, signals[next].number), had_children = children(pid);
				signals[next].at = now();
				kill(signals[next].group ? -command : command, signals[next].number);
				signals[next].kept = is_caught || (had_children && children(pid));
				next++;
				continue;
			}
			if (left < wait_for) wait_for = left;
		}
		if (terminal >= 0) {
			ssize_t n = read(terminal, screen + shown, sizeof screen - 1 - shown);
			if (n > 0) shown += n;
			while (next_typed < typed_count) {
				char *found = strstr(screen + answered, typed[next_typed].when);
				if (!found) break;
				answered = found - screen + strlen(typed[next_typed].when);
				struct winsize size = {.ws_row = typed[next_typed].rows, .ws_col = 80};
				if (size.ws_row) ioctl(terminal, TIOCSWINSZ, &size);
				else write(terminal, typed[next_typed].bytes, strlen(typed[next_typed].bytes));
				next_typed++;
			}
			if (hangup && strstr(screen, hangup)) {
				close(terminal);
				terminal = -1;
			}
		}
		struct timespec pause = {0, wait_for};
		nanosleep(&pause, NULL);
	}
	long long ended = now();
	while (!first && now() - ended < 3000000000 && others(NULL) > 0) usleep(2000);
	if (terminal >= 0) {
		ssize_t n = read(terminal, screen + shown, sizeof screen - 1 - shown);
		if (n > 0) shown += n;
	}
	char live[32];
	read_file(SETTING, live, sizeof live);
	printf("{\"exit\":%d,\"signal\":%d,\"timedOut\":%d,\"ms\":%.3f,\"threshold\":%d,\"ended\":%lld,\"signals\":[",
		WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0, timed_out,
		(ended - began) / 1e6, atoi(live), ended);
	for (int i = 0; i < next; i++) printf("%s%lld", i ? "," : "", signals[i].at);
	printf("],\"kept\":[");
	for (int i = 0; i < next; i++) printf("%s%d", i ? "," : "", signals[i].kept);
	printf("],\"survivors\":[");
	if (!first) others(stdout);
	printf("],\"screen\":");
	quoted(stdout, screen, shown);
	printf("}\n");
	fflush(stdout);
	if (!first) {
		kill(init, SIGKILL);
		waitpid(init, NULL, 0);
	}
	return 0;
}
