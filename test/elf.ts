/** Machines by their numbers in elf(5), e_machine. */
export const ELF_X86_64 = 62;
export const ELF_AARCH64 = 183;

/** The machine that a program is for; undefined if it is not a little-endian 64-bit ELF. */
export function elfMachine(program: Buffer): number | undefined {
  const isElf = program.subarray(0, 6).equals(Buffer.from("\x7fELF\x02\x01", "latin1"));
  return isElf ? program.readUInt16LE(18) : undefined;
}
