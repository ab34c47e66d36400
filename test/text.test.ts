import * as assert from "uvu/assert";
import { commandLine, json, printable } from "../shim/lib/text.js";
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

test("json(), safe on a terminal, and the same value", () => {
  const value = { text: "\u001b[31m\u009b31m\u007f\u202e\u2028 ä €\u{e0041}\ud800", list: [1, { a: null }] };
  const text = json(value);
  assert.equal(JSON.parse(text), value);
  assert.match(text, '"\\u001b[31m\\u009b31m\\u007f\\u202e\\u2028 ä €\\udb40\\udc41\\ud800"');
  assert.is(text.split("\n").length, JSON.stringify(value, null, 2).split("\n").length);
});

const commands: [string[], string][] = [
  [["/usr/sbin/sysctl", "-w", "a.b=80"], "/usr/sbin/sysctl -w a.b=80"],
  [["echo", "it's", "$HOME", ""], "echo 'it'\\''s' '$HOME' ''"],
];
for (const [argv, line] of commands) test(line, () => assert.is(commandLine(argv), line));

test.run();
