import type { Lab } from "./lab.js";

/**
 * Marked fake: takes pkexec away, and puts in run0's place what has the same pkexec ask, with what the real one (systemd
 * 257) says about a textual agent and about a no. The lab's systemd is 252 and not booted: the real one waits for a host
 * that boots.
 */
export async function fakeRun0(lab: Lab): Promise<void> {
  const script = `#!/bin/sh
[ "$1" = --background= ] && shift || exit 64
echo 'Error creating textual authentication agent: Error opening current controlling terminal' >&2
/usr/bin/pkexec.away "$@"
status=$?
[ $status -lt 126 ] || { echo 'Failed to start transient service unit: Access denied' >&2; exit 1; }
exit $status
`;
  await lab.asHost(["mv", "/usr/bin/pkexec", "/usr/bin/pkexec.away"]);
  await lab.writeFile("host", "/usr/bin/run0", script, 0o755);
}

export async function removeRun0(lab: Lab): Promise<void> {
  await lab.removeFile("host", "/usr/bin/run0");
  await lab.asHost(["mv", "/usr/bin/pkexec.away", "/usr/bin/pkexec"]);
}
