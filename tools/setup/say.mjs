/** A failure that the reader of the terminal can mend; its message says how. */
export class SetupError extends Error {
  name = 'SetupError'
}

/** Progress goes to stderr: stdout belongs to the program that is set up, `--json` above all. */
export function say(message) {
  process.stderr.write(`setup: ${message}\n`)
}
