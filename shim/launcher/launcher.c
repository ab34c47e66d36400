/* portshim [options] -- command [argument…]: makes sure that the command can bind its ports, then becomes it.
 * The command gets what we were given: the process, environment, descriptors, signals, limits. If there is certainly
 * nothing to do (satisfied.c) we just call exec. Otherwise a child becomes the helper, main.js on Node, which judges
 * and acts; its reply says whether, and as whom, the command starts. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
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

int decimal(const char *text, int most); /* satisfied.c has these two */
bool is_satisfied(int wanted);
/* Exit statuses: sysexits.h and the shell's. status.ts has the helper's. */
enum { UNAVAILABLE = 69, SOFTWARE = 70, NOPERM = 77, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
enum { CAP_NET_BIND_SERVICE = 10, SECBIT_NOROOT = 1, CAPABILITY_VERSION_3 = 0x20080522 }; /* linux/capability.h */

/* The options that matter here; the helper reads all of them. */
struct request {
	char **words, **command; /* our arguments without our name; what follows --, or NULL */
	struct timespec started; /* CLOCK_REALTIME_COARSE, by which files are dated */
	int count, start, timeout; /* of words; --start, or -1; the seconds that a prompt can stay open */
	bool is_plain;           /* we have understood all of it */
	bool is_optional;        /* --optional, and no --user, which it never covers */
	bool can_prompt;         /* one at a time does */
};

enum { START = 1, REFUSED = 2, HAS_USER = 4, KEEPS_PORT = 8 }; /* the helper's reply, as reply.ts writes it */
struct reply {
	uint32_t flags, uid, gid, count, groups[1024];
	char home[4096];
};

/* The server's mask, and for SIGCHLD its action and whether it is pending; the signals that arrive while we wait. */
struct signals {
	sigset_t mask, waited;
	struct sigaction child; bool is_pending;
	int stop; long long stopped; /* the first one that stops us, or 0; when it came, by uptime() */
};

/* At once, that lines of several processes do not mix. printf(3) would be a third of this program. */
static void write_texts(const char *const *texts)
{
	struct iovec parts[16];
	int count = 0;
	for (; texts[count] != NULL; count++) parts[count] = (struct iovec){(char *)texts[count], strlen(texts[count])};
	struct sigaction old, ignoring = {.sa_handler = SIG_IGN}; /* a reader that has gone ends neither us nor the server */
	sigaction(SIGPIPE, &ignoring, &old);
	writev(STDERR_FILENO, parts, count);
	sigaction(SIGPIPE, &old, NULL);
}

#define say(...) write_texts((const char *[]){"portshim: ", __VA_ARGS__, "\n", NULL})
#define fail(status, ...) (say(__VA_ARGS__), exit(status))
#define BECAUSE ": ", strerror(errno)

static const char *digits(uintmax_t number)
{
	static char text[24];
	char *first = text + sizeof text - 1;
	do *--first = (char)('0' + number % 10); while ((number /= 10) > 0);
	return first;
}

static _Noreturn void become(char **command)
{
	execvp(command[0], command);
	int status = errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE;
	for (char *at = command[0]; *at != '\0'; at++) if (*at < ' ' || *at > '~') *at = '?'; /* for the terminal's sake */
	fail(status, command[0], BECAUSE);
}

#define is_set(name) (getenv(name) != NULL && *getenv(name) != '\0')
static int variable(const char *name, int unset, int least, int most, bool *is_plain)
{
	int number = is_set(name) ? decimal(getenv(name), most) : unset;
	*is_plain = *is_plain && (number >= least || !is_set(name));
	return number;
}

/* Reads --FLAG=NUMBER or --FLAG NUMBER, and advances *WORDS to the number; false: it is something else. */
static bool is_number(const char *flag, char ***words, int *number, int least, int most)
{
	size_t length = strlen(flag);
	if (strncmp(**words, flag, length) != 0 || strchr("=", (**words)[length]) == NULL) return false;
	bool is_next = (**words)[length] == '\0' && (*words)[1] != NULL;
	*number = decimal(is_next ? (*words)[1] : (**words)[length] == '\0' ? "" : **words + length + 1, most);
	*words += is_next && *number >= least;
	return *number >= least;
}

static struct request read_request(int count, char **words)
{
	struct request request = {.count = count, .words = words};
	bool is_plain = !is_set("PORTSHIM_VIA") && !is_set("PORTSHIM_VERBOSE"), has_user = is_set("PORTSHIM_USER");
	bool is_command = count > 0 && words[0][0] != '-', asks = is_command && strcmp(words[0], "persist") == 0;
	bool is_dry = variable("PORTSHIM_DRY_RUN", 0, 0, 1, &is_plain) == 1;
	clock_gettime(CLOCK_REALTIME_COARSE, &request.started);
	request.start = variable("PORTSHIM_START", -1, 0, 1024, &is_plain);
	request.timeout = variable("PORTSHIM_TIMEOUT", 120, 1, 86400, &is_plain);
	request.is_optional = variable("PORTSHIM_OPTIONAL", 0, 0, 1, &is_plain) == 1;
	variable("PORTSHIM_QUIET", 0, 0, 1, &is_plain);
	for (; *words != NULL && strcmp(*words, "--") != 0; words++)
		if (strcmp(*words, "--optional") == 0) request.is_optional = true;
		else if (strcmp(*words, "--quiet") != 0 && !is_number("--start", &words, &request.start, 0, 1024) &&
		         !is_number("--timeout", &words, &request.timeout, 1, 86400)) {
			is_plain = false;
			has_user = has_user || strncmp(*words, "--user", 6) == 0;
			asks = asks || (is_command && (strcmp(*words, "--apply") == 0 || strcmp(*words, "--remove") == 0));
			is_dry = is_dry || strcmp(*words, "--dry-run") == 0 || strcmp(*words, "--help") == 0 ||
			         strcmp(*words, "-h") == 0 || strcmp(*words, "--version") == 0;
		}
	/* If there is no valid command, the helper says what is wrong. */
	if (!is_command && *words != NULL && words[1] != NULL && words[1][0] != '\0' && words[1][0] != '-')
		request.command = words + 1;
	request.can_prompt = !is_dry && (request.command != NULL || asks);
	request.is_optional = request.is_optional && request.command != NULL && !has_user && !is_dry;
	request.is_plain = is_plain && request.command != NULL && !has_user && !is_dry;
	return request;
}

/* Away from the numbers by which the server knows its descriptors. */
static int moved(int descriptor)
{
	int other = fcntl(descriptor, F_DUPFD_CLOEXEC, 10);
	return close(descriptor), other;
}

/* One prompt at a time in this network namespace: a file named after it, in a folder that only this user can enter, for
 * whoever can open the file can keep us waiting. Without such a folder there is no lock: -1. lock.ts does the same. */
static int open_lock(void)
{
	char name[64], run[64], temporary[64];
	const char *folders[] = {getenv("XDG_RUNTIME_DIR"), run, temporary};
	struct stat status;
	if (stat("/proc/self/ns/net", &status) < 0) return -1;
	stpcpy(stpcpy(stpcpy(name, "portshim-"), digits(status.st_ino)), ".lock");
	stpcpy(stpcpy(run, "/run/user/"), digits(getuid()));
	stpcpy(stpcpy(temporary, "/tmp/portshim-"), digits(getuid()));
	for (int i = 0, lock = -1; i < 3; i++) {
		if (folders[i] == NULL || folders[i][0] != '/') continue;
		if (folders[i] == temporary) mkdir(temporary, 0700);
		int folder = open(folders[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fstat(folder, &status) == 0 && status.st_uid == getuid() && (status.st_mode & 07777) == 0700)
			lock = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
		close(folder);
		if (lock >= 0) return moved(lock);
	}
	return -1;
}

static long long uptime(void) /* in milliseconds */
{
	struct timespec time;
	return clock_gettime(CLOCK_MONOTONIC, &time), time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

#define NANOSECONDS(time) ((time).tv_sec * 1000000000LL + (time).tv_nsec)
/* The file is empty until the first refusal; the latest one holds for all that had started by then. */
static bool was_refused(int lock, struct timespec started)
{
	struct stat status;
	return fstat(lock, &status) == 0 && status.st_size > 0 && NANOSECONDS(status.st_mtim) >= NANOSECONDS(started);
}

/* From here on a stop is held back; those that were ignored or blocked at the start are the server's. */
static struct signals hold_signals(void)
{
	static const int stops[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGWINCH}; /* images have the last two */
	struct signals signals = {0};
	struct sigaction action;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &signals.mask, 8L); /* musl's own hides 34, glibc's SIGRTMIN */
	sigpending(&signals.waited);
	signals.is_pending = sigismember(&signals.waited, SIGCHLD); /* setting the action discards it */
	sigemptyset(&signals.waited);
	sigaddset(&signals.waited, SIGCHLD);
	for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
		if (sigaction(stops[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN && !sigismember(&signals.mask, stops[i]))
			sigaddset(&signals.waited, stops[i]);
	sigprocmask(SIG_BLOCK, &signals.waited, NULL);
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &signals.child);
	return signals;
}

/* Ends us as the stop would have, if there was one; process 1 does not die of a signal. */
static void give_signals_back(const struct signals *signals)
{
	sigaction(SIGCHLD, &signals->child, NULL);
	while (signals->child.sa_handler == SIG_IGN && waitpid(-1, NULL, WNOHANG) > 0) continue;
	siginfo_t other = {0}; /* a child that we inherited: its signal was taken for the helper's */
	waitid(P_ALL, 0, &other, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT);
	if (signals->is_pending || other.si_pid != 0) kill(getpid(), SIGCHLD);
	if (signals->stop != 0) raise(signals->stop);
	sigprocmask(SIG_SETMASK, &signals->mask, NULL);
	if (signals->stop != 0) exit(128 + signals->stop);
}

/* Waits for a signal, and records what it means. */
static bool wait_for_signal(struct signals *signals, const struct timespec *patience)
{
	siginfo_t info;
	int signal = sigtimedwait(&signals->waited, &info, patience);
	/* The stop signal of httpd's images. A terminal's is from the kernel or a relay, which process 1 does not have. */
	bool is_resize = signal == SIGWINCH && (info.si_code != SI_USER ||
	                 (getpid() != 1 && close(open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC)) == 0));
	if (signal > 0 && signal != SIGCHLD && !is_resize && signals->stop == 0) signals->stop = signal, signals->stopped = uptime();
	return signal > 0;
}

/* Whether the command will hold the port's capability: a file capability of Node or the launcher ends with exec. */
static bool holds_capability(void)
{
	int bits = geteuid() == 0 ? prctl(PR_GET_SECUREBITS) : SECBIT_NOROOT; /* EINVAL in gVisor */
	if (bits < 0 || (bits & SECBIT_NOROOT) == 0) return prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE) == 1;
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0L, 0L) == 1;
}

/* The helper cannot say what a person can do. */
static int say_by_hand(const struct request *request, const char *reason)
{
	const char *wanted = digits(request->start < 0 ? 80 : (uintmax_t)request->start);
	return say("cannot run Node.js 20 or later, which is needed here: ", reason,
	    "\nInstall it, or allow it more memory and processes, or lower the threshold from outside:\n"
	    "    sudo sysctl -w net.ipv4.ip_unprivileged_port_start=", wanted, "    (on the host, if its network is shared)\n"
	    "    podman run --sysctl net.ipv4.ip_unprivileged_port_start=", wanted, " …    (or docker, if not)"), UNAVAILABLE;
}

/* In the child. main.js is near the launcher, in an image or in the npm package; it replies on descriptor 3. */
static _Noreturn void become_helper(const struct request *request, int reply)
{
	char path[4096], **kept = environ;
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 32);
	path[length < 0 ? 0 : length] = '\0';
	char *end = length < 0 ? stpcpy(path, "/usr/local/bin/") : strrchr(path, '/') + 1;
	strcpy(end, "../lib/portshim/main.js");
	if (access(path, R_OK) < 0) strcpy(end, "../lib/main.js");
	if (access(path, R_OK) < 0) fail(SOFTWARE, "internal error: portshim is not installed completely: ", path, BECAUSE);
	/* They are the server's: NODE_OPTIONS runs code, NODE_CHANNEL_FD takes its first message. */
	for (char **at = environ; *at != NULL; at++) if (strncmp(*at, "NODE_", 5) != 0) *kept++ = *at;
	*kept = NULL;
	char *words[request->count + 4]; /* main.js expects the capability first */
	memcpy(words, (char *[]){"node", path, holds_capability() ? "1" : "0"}, 3 * sizeof *words);
	memcpy(words + 3, request->words, ((size_t)request->count + 1) * sizeof *words);
	close(STDIN_FILENO), open("/dev/null", O_RDONLY);
	dup2(reply, 3);
	if (syscall(SYS_close_range, 4, ~0U, 0) < 0) /* before Linux 5.9 */
		for (int i = 4; i < getdtablesize(); i++) close(i);
	alarm(20); /* entrypoint.ts ends it: a Node that cannot start a thread hangs */
	execvp("node", words);
	if (errno == ENOENT) execvp("nodejs", words);
	exit(say_by_hand(request, strerror(errno)));
}

/* Returns the helper's exit status, or -1 if its reply is that the command is to be started. */
static int run_helper(const struct request *request, struct signals *signals, struct reply *reply)
{
	int ends[2], status = 0, helper;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 || (ends[0] = moved(ends[0])) < 0 ||
	    (ends[1] = moved(ends[1])) < 0 || (helper = fork()) < 0)
		return say_by_hand(request, strerror(errno));
	if (helper == 0) {
		/* The helper ends when we do; exec of a Node with file capabilities resets this: it sees the socket close. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		sigprocmask(SIG_SETMASK, &(sigset_t){0}, NULL);
		become_helper(request, ends[1]);
	}
	close(ends[1]);
	while (waitpid(helper, &status, WNOHANG) != helper) {
		wait_for_signal(signals, signals->stop != 0 ? &(struct timespec){.tv_sec = 1} : NULL);
		if (signals->stop != 0) kill(helper, uptime() - signals->stopped < 1000 ? SIGTERM : SIGKILL);
	}
	/* A stop that has arrived by now overrides the reply. */
	while (wait_for_signal(signals, &(struct timespec){.tv_sec = 0})) continue;
	bool is_whole = recv(ends[0], reply, sizeof *reply, MSG_DONTWAIT) == sizeof *reply && reply->home[4095] == '\0';
	if (is_whole && reply->count <= 1024 && (reply->flags & START) != 0 && request->command != NULL) return -1;
	/* Without an answer these two are ours; Node itself ends with smaller ones, and 127 is the dynamic linker's. */
	bool is_ours = is_whole || WEXITSTATUS(status) == UNAVAILABLE || WEXITSTATUS(status) == SOFTWARE;
	if (signals->stop != 0 || (is_ours && WIFEXITED(status))) return WEXITSTATUS(status);
	return say_by_hand(request, WIFEXITED(status) ? "it ended without an answer" : strsignal(WTERMSIG(status)));
}

/* Waits for our turn, and has the helper look; returns only if the command is to be started. */
static void ask_helper(const struct request *request, struct reply *reply)
{
	int status = -1, lock = request->can_prompt ? open_lock() : -1;
	struct signals signals = hold_signals();
	long long end = uptime() + (request->timeout + 2) * 1000LL;
	/* No longer than another's prompt can stay open: a process that was stopped must not block the others. Nor after a
	 * refusal: one that has started since, and asks again, can have its turn before us. */
	while (lock >= 0 && signals.stop == 0 && !was_refused(lock, request->started) && uptime() < end &&
	       flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		wait_for_signal(&signals, &(struct timespec){.tv_nsec = 10000000});
	bool is_over = signals.stop != 0 || (request->is_plain && is_satisfied(request->start));
	if (!is_over && !was_refused(lock, request->started)) status = run_helper(request, &signals, reply);
	else if (!is_over) say("permission denied to another portshim, which asked the host just before"), status = NOPERM;
	if ((reply->flags & REFUSED) != 0 && lock >= 0 && pwrite(lock, "", 1, 0) < 0) say("cannot note the refusal", BECAUSE);
	give_signals_back(&signals);
	if (status < 0) return;
	if (!request->is_optional || (status != UNAVAILABLE && status != SOFTWARE && status != NOPERM)) exit(status);
	say("starting the command anyway (--optional)"), reply->flags = 0;
}

#define must(what, is_done) ((is_done) ? (void)0 : fail(NOPERM, "cannot switch to the user: " what, BECAUSE))
static void become_user(const struct reply *reply) /* capabilities(7); root keeps what it has */
{
	bool is_root = reply->uid == 0;
	uint32_t kept = (reply->flags & KEEPS_PORT) != 0 && !is_root ? 1U << CAP_NET_BIND_SERVICE : 0;
	uint32_t header[2] = {CAPABILITY_VERSION_3}, sets[6] = {kept, kept, kept}; /* effective, permitted, inheritable */
	/* Without CAP_SETPCAP the bounding set stays, and is harmless with no_new_privs. */
	for (int i = 0; !is_root && prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (kept == 0 || i != CAP_NET_BIND_SERVICE) must("PR_CAPBSET_DROP", prctl(PR_CAPBSET_DROP, i) == 0 || errno == EPERM);
	if (kept != 0) must("PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1L) == 0);
	must("setgroups", syscall(SYS_setgroups, (long)reply->count, reply->groups) == 0); /* libc's looks for threads */
	must("setresgid", syscall(SYS_setresgid, (long)reply->gid, (long)reply->gid, (long)reply->gid) == 0);
	must("setresuid", syscall(SYS_setresuid, (long)reply->uid, (long)reply->uid, (long)reply->uid) == 0);
	if (!is_root) must("capset", syscall(SYS_capset, header, sets) == 0); /* empties the ambient set, too */
	if (kept != 0) /* gVisor has none to give: EINVAL; it may let anybody bind, and if not, the server says so */
		must("PR_CAP_AMBIENT", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0L, 0L) == 0 || errno == EINVAL);
	if (!is_root) must("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0);
	must("setenv", setenv("HOME", reply->home, 1) == 0);
}

int main(int argc, char **argv)
{
	static struct reply reply;
	if (argc < 1 || getuid() != geteuid() || getgid() != getegid())
		fail(NOPERM, "the program must not be set-user-ID or set-group-ID");
	/* --with-parent PID COMMAND…: for the helper, a command that ends when it does, even if it is killed. */
	if (argc > 3 && strcmp(argv[1], "--with-parent") == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != decimal(argv[2], 1 << 30)) return SOFTWARE;
		become(argv + 3);
	}
	struct request request = read_request(argc - 1, argv + 1);
	if (!request.is_plain || !is_satisfied(request.start)) ask_helper(&request, &reply);
	if ((reply.flags & HAS_USER) != 0) become_user(&reply);
	become(request.command);
}
