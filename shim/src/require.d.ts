/** What is loaded only once it is needed, because a start would have to wait for it. */
declare namespace NodeJS {
  interface Require {
    (id: "node:dgram"): typeof import("node:dgram");
    (id: "node:net"): typeof import("node:net");
    (id: "node:os"): typeof import("node:os");
    (id: "../attempt/ensure.js"): typeof import("./attempt/ensure.js");
    (id: "../here/bind.js"): typeof import("./here/bind.js");
    (id: "../here/capabilities.js"): typeof import("./here/capabilities.js");
    (id: "../protocol/drop.js"): typeof import("./protocol/drop.js");
    (id: "../plan/lifetime.js"): typeof import("./plan/lifetime.js");
    (id: "../plan/plan.js"): typeof import("./plan/plan.js");
    (id: "../plan/route.js"): typeof import("./plan/route.js");
    (id: "./report/failure.js"): typeof import("./report/failure.js");
    (id: "../report/reason.js"): typeof import("./report/reason.js");
    (id: "../report/remedy.js" | "./remedy.js"): typeof import("./report/remedy.js");
    (id: "../report/start.js"): typeof import("./report/start.js");
    (id: "../sysctl/resolve.js"): typeof import("./sysctl/resolve.js");
    (id: "./check.js"): typeof import("./cli/check.js");
    (id: "./cli/entrypoint.js"): typeof import("./cli/entrypoint.js");
    (id: "./commands.js"): typeof import("./cli/commands.js");
    (id: "./executable.js"): typeof import("./cli/executable.js");
    (id: "./glob.js"): typeof import("./sysctl/glob.js");
    (id: "./guard.js"): typeof import("./cli/guard.js");
    (id: "./help.js"): typeof import("./cli/help.js");
    (id: "./output.js"): typeof import("./cli/output.js");
    (id: "./persist.js"): typeof import("./cli/persist.js");
    (id: "./status.js"): typeof import("./cli/status.js");
    (id: "./terminal.js"): typeof import("./plan/terminal.js");
    (id: "./version.js"): typeof import("./cli/version.js");
  }
}
