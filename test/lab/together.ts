import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import type { Lab, Running } from "./lab.js";

const ANOTHERS = "portshim: permission denied to another portshim, which asked the host just before\n";

/** Binds the given port, from 80 up, and says so. */
const BIND = `
  use Socket;
  socket my $s, AF_INET, SOCK_STREAM, 0;
  bind $s, sockaddr_in($ARGV[0], INADDR_ANY) or die "bind() to $ARGV[0] failed: $!\\n";
  print "bound $ARGV[0]\\n";
`;

/**
 * $1 is the folder of the Nodes, $2 where the reports go, $3 how many servers, $4 the program. In front of each Node is
 * a script that notes its start and then, while there is a file `held`, waits.
 */
const TOGETHER = `
  trap 'trap - TERM; kill -TERM 0' TERM
  for version in 20 26; do
    mkdir "$2/node$version"
    cat >"$2/node$version/node" <<END
#!/bin/sh
echo $version >>"$2/nodes"
while [ -e "$2/held" ]; do sleep 0.01; done
exec "$1/node$version/bin/node" "\\$@"
END
    chmod +x "$2/node$version/node"
  done
  i=0
  while [ $i -lt $3 ]; do
    case $((i % 2)) in 0) version=20 ;; *) version=26 ;; esac
    (
      PATH=$2/node$version:$PATH portshim -- perl -e "$4" $((80 + i)) >"$2/$i.out" 2>"$2/$i.err"
      echo $? >"$2/$i.status"
    ) &
    i=$((i + 1))
  done
  wait
`;

/** How a server's start ended. */
export interface Start {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Servers that were started at once. */
interface Together extends Pick<Running, "kill" | "exited"> {
  /** Lets the Nodes go on that were held. */
  release(): Promise<void>;
  /** Waits until all have ended: how each did, in the order of their ports, and how many Nodes were started. */
  ended(): Promise<{ starts: Start[]; nodes: number }>;
}

let rounds = 0;

/**
 * Starts servers in the toolbox, half with the oldest Node and half with the newest; each takes a port, from 80 up.
 * With `held` their Nodes wait until release().
 */
export async function together(lab: Lab, count: number, { held = false } = {}): Promise<Together> {
  const reports = `/run/user/${lab.uid}/portshim-lab/together.${++rounds}`;
  await lab.asUser(["mkdir", reports]);
  if (held) await lab.asUser(["touch", `${reports}/held`]);
  const nodes = `/run/host${lab.nodes}`;
  const running = await lab.spawn("toolbox", ["sh", "-c", TOGETHER, "sh", nodes, reports, `${count}`, BIND]);
  const report = (name: string) => readFileSync(`${lab.root}${reports}/${name}`, "utf8");
  return {
    kill: running.kill,
    exited: running.exited,
    release: async () => {
      await lab.asUser(["rm", `${reports}/held`]);
    },
    ended: async () => {
      await running.exited;
      return {
        starts: Array.from({ length: count }, (_, index) => ({
          status: Number(report(`${index}.status`)),
          stdout: report(`${index}.out`),
          stderr: report(`${index}.err`),
        })),
        nodes: report("nodes").split("\n").length - 1,
      };
    },
  };
}

/** Asserts that each start took its port, and that only the one that asked said anything. */
export function assertBound(starts: readonly Start[]): void {
  starts.forEach((start, index) => {
    assert.equal([start.status, start.stdout], [0, `bound ${80 + index}\n`], start.stderr);
  });
  const [asker, ...more] = starts.filter(({ stderr }) => stderr !== "");
  assert.is(more.length, 0, more[0]?.stderr);
  assert.match(asker?.stderr ?? "", "Running as root on the host");
}

/** Asserts that nobody got a port: one asked, and says why it was refused, and the others say so. */
export function assertRefused(starts: readonly Start[], why: string): void {
  const [asker, ...more] = starts.filter(({ stderr }) => stderr !== ANOTHERS);
  assert.is(more.length, 0, more[0]?.stderr);
  assert.match(asker?.stderr ?? "", why);
  for (const start of starts) assert.equal([start.status, start.stdout], [77, ""], start.stderr);
}
