/*
 * Times commands as whole processes, each once a round, so that a machine whose speed drifts is as unfair to one as to
 * the other; in another order each round, because what runs after a large program finds the caches cold. Prints a line
 * a round: the nanoseconds of each, in the order of the arguments, from before its start to its end. Their own output is
 * dropped.
 *
 *     timer ROUNDS COMMAND [ARGUMENT…] [, COMMAND [ARGUMENT…]]…
 *
 * In C, because what starts a process (a Node, a shell) costs more than what is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	char **commands[64];
	int count = 0, order[64];
	long long took[64];

	posix_spawn_file_actions_t actions;

	if (argc < 3)
		return 2;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	commands[count++] = argv + 2;
	for (int i = 2; i < argc && count < 64; i++)
		if (strcmp(argv[i], ",") == 0) {
			argv[i] = NULL;
			commands[count++] = argv + i + 1;
		}
	for (int i = 0; i < count; i++)
		order[i] = i;
	for (int round = atoi(argv[1]); round > 0; round--) {
		for (int i = count - 1; i > 0; i--) {
			int other = rand() % (i + 1), kept = order[i];
			order[i] = order[other];
			order[other] = kept;
		}
		for (int at = 0; at < count; at++) {
			int i = order[at];
			long long start = now();
			pid_t pid;
			int status;
			int error = posix_spawnp(&pid, commands[i][0], &actions, NULL, commands[i], environ);
			if (error) {
				fprintf(stderr, "%s: %s\n", commands[i][0], strerror(error));
				return 1;
			}
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
			if (status != 0) {
				fprintf(stderr, "%s: ended with wait status %d\n", commands[i][0], status);
				return 1;
			}
			took[i] = now() - start;
		}
		for (int i = 0; i < count; i++)
			printf("%lld%c", took[i], i + 1 < count ? ' ' : '\n');
	}
	return 0;
}
