const { createServer } = require("node:http");

const server = createServer((_request, response) => response.end("Hello from Node\n"));
server.listen(80, () => console.log("serving on port 80"));

// Process 1 gets no signal that it does not ask for. Answers that are under way are finished.
process.once("SIGTERM", () => server.close());
