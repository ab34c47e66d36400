// Nothing newer than ES5 before the check: an old Node has to reach the message.
if (Number.parseInt(process.versions.node, 10) < 20) {
  console.error("portshim: needs Node.js 20 or later, and this is %s", process.versions.node);
  process.exit(69);
}

try {
  require("./cli/entrypoint.js").entrypoint(process.argv.slice(2), process.env);
} catch (error) {
  console.error("portshim: cannot load its own files: %s", (error as Error).message);
  process.exit(69);
}
