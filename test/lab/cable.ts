import type { Lab, Running } from "./lab.js";

/** Where this host is for a machine on the far end of its cable: its addresses. */
export const NEAR = { ipv4: "192.0.2.1", ipv6: "2001:db8::1", link: "fe80::1%far" } as const;

/** Another machine: a network namespace on the host, with a cable (veth(4)) to the host's own. */
export const FAR = { ipv4: "192.0.2.2", namespace: ["ip", "netns", "exec", "far"] } as const;

/** Lays the cable. */
export async function layCable(lab: Lab): Promise<void> {
  const script = `
    ip netns add far && ip link add near type veth peer name far netns far
    for end in "ip near 1" "ip_-n_far far 2"; do
      set -- $end
      ip=$(echo $1 | tr _ ' ')
      $ip link set $2 addrgenmode none && $ip link set $2 up
      $ip addr add 192.0.2.$3/24 dev $2
      $ip addr add 2001:db8::$3/64 dev $2 nodad
      $ip addr add fe80::$3/64 dev $2 nodad
    done`;
  const { status, stderr } = await lab.asHost(["sh", "-ec", script]);
  if (status !== 0) throw new Error(stderr);
}

/** In python, because Node has no UDP-Lite. */
const SOCKETS = `
import select, socket, sys
KINDS = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0), "udplite": (socket.SOCK_DGRAM, 136)}
`;

const SERVE = `${SOCKETS}
sockets = []
for word in sys.argv[1:]:
    protocol, port, address = (word.split() + ["::"])[:3]
    one = socket.socket(socket.AF_INET6, *KINDS[protocol])
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind((address, int(port)))
    if protocol == "tcp":
        one.listen()
    sockets.append(one)
print("serving", flush=True)
while True:
    for one in select.select(sockets, [], [])[0]:
        if one.type == socket.SOCK_STREAM:
            one.accept()[0].close()
        else:
            one.sendto(b"answer", one.recvfrom(9)[1])
`;

const KNOCK = `${SOCKETS}
for word in sys.argv[1:]:
    protocol, port, address, *source = word.split()
    family, _, _, _, peer = socket.getaddrinfo(address, int(port), type=socket.SOCK_STREAM)[0]
    with socket.socket(family, *KINDS[protocol]) as one:
        one.settimeout(2)
        if source:
            one.bind(("", int(source[0])))
        try:
            one.connect(peer)
            if protocol != "tcp":
                one.send(b"question")
                one.recv(9)
            print("open")
        except TimeoutError:
            print("silent")
        except OSError:
            print("refused")
`;

/** Serves on these, as "tcp 80" or "udp 500 ::1": IPv4 and IPv6, all addresses by default. */
export async function serve(lab: Lab, where: "host" | "user", ...sockets: string[]): Promise<Running> {
  return serving(await lab.spawn(where, ["python3", "-c", SERVE, ...sockets]));
}

/** The same on the far end. */
export async function serveFar(lab: Lab, ...sockets: string[]): Promise<Running> {
  return serving(await lab.spawn("host", [...FAR.namespace, "python3", "-c", SERVE, ...sockets]));
}

async function serving(running: Running): Promise<Running> {
  await running.waitFor(/serving/);
  return running;
}

/** What somebody who knocks meets, by what it was: "tcp 80 192.0.2.1", with the source's port after it if that counts. */
export type Met = Record<string, "open" | "refused" | "silent">;

/** Knocks from the far end of the cable. */
export const knock = (lab: Lab, ...doors: string[]): Promise<Met> => knocks(lab, FAR.namespace, doors);

/** Knocks from the host itself. */
export const knockHere = (lab: Lab, ...doors: string[]): Promise<Met> => knocks(lab, [], doors);

async function knocks(lab: Lab, prefix: readonly string[], doors: readonly string[]): Promise<Met> {
  const { status, stdout, stderr } = await lab.asHost([...prefix, "python3", "-c", KNOCK, ...doors], {
    timeout: 60_000,
  });
  const met = stdout.split("\n").slice(0, -1);
  if (status !== 0 || met.length !== doors.length) throw new Error(stderr);
  return Object.fromEntries(doors.map((door, at) => [door, met[at]])) as Met;
}
