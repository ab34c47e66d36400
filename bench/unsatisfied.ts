import { resolve } from "node:path";

// The unsatisfied start, in a toolbox of the tests' lab, with a polkit that says yes at once: detect, ask, set, exec.

/** What is used of the lab, which the tests' own build has. */
interface Lab {
  installShim(): Promise<void>;
  polkit(answer: "YES"): Promise<void>;
  inToolbox(argv: readonly string[], options: { timeout: number }): Promise<{ stdout: string; stderr: string }>;
  stop(): Promise<void>;
}

interface LabModule {
  labMissing(): string[];
  startLab(): Promise<Lab>;
}

/** Milliseconds of one round: portshim; the same by hand, which is the host's sysctl and then an empty Node. */
export interface Round {
  readonly portshim: number;
  readonly spawn: number;
  readonly node: number;
}

/** Prints a round a line; $1 is how many. */
const SCRIPT = `
  use Time::HiRes "time";
  my $spawn = (grep { -x } "/usr/bin/flatpak-spawn", "/usr/libexec/flatpak-xdg-utils/flatpak-spawn")[0];
  my $key = "net.ipv4.ip_unprivileged_port_start";
  sub took {
    my $start = time;
    my $pid = fork // die;
    if (!$pid) { open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null"; exec @_ or exit 99 }
    waitpid $pid, 0;
    die "@_: wait status $?" if $?;
    return 1000 * (time - $start);
  }
  sub set { return took($spawn, "--host", "pkexec", "sysctl", "-w", "$key=$_[0]") }
  for (1 .. $ARGV[0]) {
    set(1024);
    my $portshim = took("portshim", "--start=80", "--", "/bin/true");
    set(1024);
    printf "%f %f %f\\n", $portshim, set(80), took("node", "-e", "0");
  }
`;

/** Throws if the lab cannot run here. */
export async function unsatisfied(rounds: number): Promise<Round[]> {
  const { labMissing, startLab } = require(resolve(__dirname, "../../build/lab", "lab.js")) as LabModule;
  const missing = labMissing();
  if (missing.length > 0) throw new Error(missing.join(" "));
  const lab = await startLab();
  try {
    await lab.installShim();
    await lab.polkit("YES");
    const argv = ["perl", "-e", SCRIPT, String(rounds + 2)];
    const { stdout, stderr } = await lab.inToolbox(argv, { timeout: 10_000 + 1000 * rounds });
    // The first two warm up.
    const lines = stdout.trim().split("\n").slice(2);
    if (lines.length !== rounds) throw new Error(stderr);
    return lines.map((line) => {
      const [portshim = 0, spawn = 0, node = 0] = line.split(" ").map(Number);
      return { portshim, spawn, node };
    });
  } finally {
    await lab.stop();
  }
}
