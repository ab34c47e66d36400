import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { bash } from "./completion/bash.js";
import { fish } from "./completion/fish.js";
import { zsh } from "./completion/zsh.js";
import type { Page } from "./mdoc.js";
import { check } from "./pages/check.js";
import { guard } from "./pages/guard.js";
import { images } from "./pages/images.js";
import { persist } from "./pages/persist.js";
import { portshim } from "./pages/portshim.js";
import { PORTSHIM, PORTSHIM_IMAGES, type Program } from "./program.js";

/** The files of each package's folder `share`, which has the layout of /usr/share. */
const FILES = {
  shim: files(PORTSHIM, portshim, check, persist, guard),
  images: files(PORTSHIM_IMAGES, images),
};

function files(program: Program, ...pages: Page[]): [path: string, text: string][] {
  return [
    ...pages.map(({ name, text }): [string, string] => [`man/man1/${name}.1`, text]),
    [`bash-completion/completions/${program.name}`, bash(program)],
    [`zsh/site-functions/_${program.name}`, zsh(program)],
    [`fish/vendor_completions.d/${program.name}.fish`, fish(program)],
  ];
}

/** Writes them below `root`, in which each package has a folder. */
function main(root: string): void {
  for (const [name, files] of Object.entries(FILES)) {
    const share = join(root, name, "share");
    rmSync(share, { recursive: true, force: true });
    for (const [path, text] of files) {
      mkdirSync(dirname(join(share, path)), { recursive: true });
      writeFileSync(join(share, path), text);
    }
  }
}

main(process.argv[2] ?? join(__dirname, "..", "..", ".."));
