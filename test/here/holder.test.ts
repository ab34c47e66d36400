import { createServer } from "node:net";
import * as assert from "uvu/assert";
import { holders } from "../../shim/lib/here/holder.js";
import { suite } from "../suite.js";

const test = suite("holder");

const listen = (host: string) =>
  new Promise<{ port: number; close(): Promise<void> }>((resolve) => {
    const server = createServer();
    server.listen({ host, port: 0 }, () => {
      const { port } = server.address() as { port: number };
      resolve({ port, close: () => new Promise((closed) => server.close(() => closed())) });
    });
  });

for (const host of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
  test(`who listens on ${host}`, async () => {
    const server = await listen(host);
    const found = holders(server.port);
    await server.close();
    assert.equal(
      found?.map(({ pid }) => pid),
      [process.pid],
    );
    assert.match(found?.[0]?.name ?? "", /^(node|MainThread)/);
    assert.is(holders(server.port), undefined);
  });
}

test("a client of the port does not hold it", async () => {
  const server = await listen("127.0.0.1");
  const { Socket } = await import("node:net");
  const socket = new Socket().connect(server.port, "127.0.0.1");
  await new Promise((connected) => socket.once("connect", connected));
  const own = (socket.address() as { port: number }).port;
  const found = holders(own);
  socket.destroy();
  await server.close();
  assert.is(found, undefined);
});

test.run();
