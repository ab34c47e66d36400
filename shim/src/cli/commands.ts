import type { CommandName } from "./arguments.js";
import type { Command } from "./command.js";

/** A command that is not loaded yet: a start must not wait for that. */
interface Entry {
  readonly name: CommandName;
  /** One line for --help. */
  readonly what: string;
  load(): Command;
}

/** portshim's own commands. */
export const COMMANDS: readonly Entry[] = [
  {
    name: "check",
    what: "show what portshim sees and would do, and change nothing",
    load: () => require("./check.js").check,
  },
  {
    name: "persist",
    what: "have the host keep the threshold over reboots, or no longer (--remove)",
    load: () => require("./persist.js").persist,
  },
  {
    name: "guard",
    what: "close the other low ports to other machines (--apply), or open them again (--remove)",
    load: () => require("./guard.js").guard,
  },
];
