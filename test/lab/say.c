#include <stdio.h>
#include <unistd.h>

extern char **environ;

/* Says how it was started. Static, so that an image needs nothing else. */
int main(int count, char **words)
{
	char folder[4096];

	for (int at = 0; at < count; at++)
		printf("<%s>\n", words[at]);
	printf("%d:%d %s\n", (int)getuid(), (int)getgid(), getcwd(folder, sizeof folder) ? folder : "?");
	for (char **variable = environ; *variable; variable++)
		puts(*variable);
	return 7;
}
