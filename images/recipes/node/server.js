const { createServer } = require("node:http");

const server = createServer((_request, response) => {
  response.end(`Hello from port 80. I am process ${process.pid}, user ${process.getuid()}.\n`);
});
server.listen(80, () => console.log("serving on port 80"));
// As process 1 a program is spared every signal that it does not ask for.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
