import { build } from "./build.js";
import { check } from "./check.js";
import type { Command, Option } from "./command.js";
import { wrap } from "./wrap.js";

/** The commands, each in the file of its name. */
export const COMMANDS = { wrap, build, check } as const satisfies Record<string, Command>;

/** The options of all of them, and of portshim-images itself. */
export const COMMON = {
  host: {
    type: "string",
    value: "ADDRESS",
    what: "where the engine answers: unix:///PATH or tcp://HOST:PORT",
  },
  help: { type: "boolean", what: "print this and exit" },
  version: { type: "boolean", what: "print the version and exit" },
} as const satisfies Record<string, Option>;
