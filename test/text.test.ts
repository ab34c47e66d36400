import * as assert from "uvu/assert";
import { commandLine, printable } from "../shim/lib/text.js";
import { suite } from "./suite.js";

const test = suite("text");

const answers: [string, string][] = [
  ["plain", "plain"],
  [" two\n  lines\n", "two lines"],
  ["\u001b]0;title\u0007\u001b[2Jred", "]0;title [2Jred"],
  ["right\u202eleft", "right left"],
  ["x".repeat(500), `${"x".repeat(400)}…`],
];
for (const [answer, line] of answers) {
  test(`printable(${JSON.stringify(answer).slice(0, 40)})`, () => assert.is(printable(answer), line));
}

const commands: [string[], string][] = [
  [["/usr/sbin/sysctl", "-w", "a.b=80"], "/usr/sbin/sysctl -w a.b=80"],
  [["echo", "it's", "$HOME", ""], "echo 'it'\\''s' '$HOME' ''"],
];
for (const [argv, line] of commands) test(line, () => assert.is(commandLine(argv), line));

test.run();
