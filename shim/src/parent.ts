/** Milliseconds between looks at the parent: a prompt must not outlive it by a second. */
const INTERVAL = 200;

/**
 * Calls `gone` once when our parent is no longer process `parent`: a stub that was killed cannot tell us, and a prompt
 * that nobody waits for must not stay open.
 */
export function watchParent(parent: number, gone: () => void): void {
  const look = () => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  };
  const timer = setInterval(look, INTERVAL).unref();
  look();
}
