// Nothing newer than ES5 up to the check: an old Node must get as far as its end.
if (Number.parseInt(process.versions.node, 10) < 20) process.exit(101);

(require("./entrypoint.js") as typeof import("./entrypoint.js"))
  .entrypoint(process.argv.slice(2), process.env)
  .then((status) => process.exit(status));
