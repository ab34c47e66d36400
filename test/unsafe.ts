/** What must not be in what is said: control and format characters but a newline, or a stack trace. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
export const UNSAFE = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]|^\s+at .*:\d+/m;
