import { createServer } from "node:net";

/** An unassigned address (RFC 3849): the port is never taken. IPv6 checks the privilege before the address. */
const UNASSIGNED = "2001:db8::1";

/**
 * Whether we can bind `port` (1–65535), without taking it. The server then can, too, if it keeps our capabilities over
 * exec.
 */
export async function mayBind(port: number): Promise<boolean> {
  const answer = await bindTcp(port, UNASSIGNED);
  // Without IPv6 a port must really be bound, as IPv4 checks the address first: UDP on loopback harms least.
  return ALLOWED.includes(answer ?? (await bindUdp(port)));
}

/** What bind(2) answers if we have the privilege: success, or an error that is checked later. */
const ALLOWED = ["", "EADDRNOTAVAIL", "EADDRINUSE"];

/**
 * Takes TCP `port` (1–65535) on every address for a moment; resolves to the error (`EACCES`, `EADDRINUSE`, …: bind(2)),
 * "" for none.
 */
export async function takePort(port: number): Promise<string> {
  const answer = await bindTcp(port, "::");
  // The kernel can have IPv6, but switched off (disable_ipv6).
  if (answer !== undefined && answer !== "EADDRNOTAVAIL") return answer;
  return (await bindTcp(port, "0.0.0.0")) ?? "EAFNOSUPPORT";
}

/** The error, "" for none, undefined if there are no addresses of this kind. */
function bindTcp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      resolve(["EAFNOSUPPORT", "EINVAL", "EPROTONOSUPPORT"].includes(code) ? undefined : code);
    });
    server.listen({ host, port, ipv6Only: host === UNASSIGNED, exclusive: true }, () =>
      server.close(() => resolve("")),
    );
  });
}

function bindUdp(port: number): Promise<string> {
  // Loaded only here, because it is hardly ever needed.
  const { createSocket } = require("node:dgram");
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      socket.close();
      resolve(code);
    });
    socket.bind({ address: "127.0.0.1", port, exclusive: true }, () => socket.close(() => resolve("")));
  });
}
