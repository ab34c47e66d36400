import { createServer } from "node:net";

/** An address that is nobody's (RFC 3849): the port is never taken. IPv6 checks the privilege before the address. */
const UNASSIGNED = "2001:db8::1";

/**
 * Whether we may bind `port` (1–65535), asked without taking it. What we may, the command may that we are followed by:
 * both are exec'd with the same capabilities.
 */
export async function mayBind(port: number): Promise<boolean> {
  const answer = await bindTcp(port, UNASSIGNED);
  // No IPv6 here. On IPv4 the address is checked first, so a port must really be bound: UDP on loopback harms least.
  return ALLOWED.includes(answer ?? (await bindUdp(port)));
}

/** What bind(2) says once it has let us: it worked, or what is looked at after the privilege is wrong. */
const ALLOWED = ["", "EADDRNOTAVAIL", "EADDRINUSE"];

/**
 * Really takes TCP `port` (1–65535) of every address for a moment; resolves to the error that it ends with
 * (`EACCES`, `EADDRINUSE`, …: bind(2)), "" for none.
 */
export async function takePort(port: number): Promise<string> {
  const answer = await bindTcp(port, "::");
  // IPv6 may be there and switched off (disable_ipv6).
  if (answer !== undefined && answer !== "EADDRNOTAVAIL") return answer;
  return (await bindTcp(port, "0.0.0.0")) ?? "EAFNOSUPPORT";
}

/** The error that binding ends with, "" for none, undefined where there is no such kind of address. */
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
  const { createSocket } = require("node:dgram") as typeof import("node:dgram");
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      socket.close();
      resolve(code);
    });
    socket.bind({ address: "127.0.0.1", port, exclusive: true }, () => socket.close(() => resolve("")));
  });
}
