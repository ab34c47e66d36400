import { createSocket } from "node:dgram";
import { createServer } from "node:net";

/** An address that is nobody's (RFC 3849): the port is never taken. IPv6 checks the privilege before the address. */
const NOBODYS = "2001:db8::1";

/**
 * Whether we may bind `port` (1–65535), asked without taking it. What we may, the command may that we are followed by:
 * both are exec'd with the same capabilities.
 */
export async function mayBind(port: number): Promise<boolean> {
  const answer = await bindTcp(port);
  // No IPv6 here. On IPv4 the address is checked first, so a port must really be bound: UDP on loopback harms least.
  return (answer ?? (await bindUdp(port))) !== "EACCES";
}

/** The error that binding ends with, "" for none, undefined where there is no IPv6. */
function bindTcp(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      resolve(["EAFNOSUPPORT", "EINVAL", "EPROTONOSUPPORT"].includes(code) ? undefined : code);
    });
    server.listen({ host: NOBODYS, port, ipv6Only: true, exclusive: true }, () => server.close(() => resolve("")));
  });
}

function bindUdp(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
      socket.close();
      resolve(code);
    });
    socket.bind({ address: "127.0.0.1", port, exclusive: true }, () => socket.close(() => resolve("")));
  });
}
