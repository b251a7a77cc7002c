import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Examples as they are shown and as they are run, in the order in which they stand. */
export interface ReadmeExamples {
  /** The TypeScript blocks of the README. */
  readonly shown: readonly string[]
  /** What stands in the test between `// README` and `// end`, with two spaces of indentation taken off. */
  readonly own: readonly string[]
}

/**
 * Reads the examples of `../README.md`, seen from a test file, and those of the test itself.
 *
 * @param testFile - absolute: `import.meta.filename`.
 * @throws {SyntaxError} if either has none.
 */
export function readReadmeExamples(testFile: string): ReadmeExamples {
  const readmeFile = join(dirname(testFile), '../README.md')
  return {
    shown: allOf(readmeFile, /```ts\n(.*?)```/gs),
    own: allOf(testFile, /^ {2}\/\/ README\n(.*?)^ {2}\/\/ end$/gms).map(code => code.replace(/^ {2}/gm, '')),
  }
}

function allOf(file: string, pattern: RegExp): readonly string[] {
  const found = [...readFileSync(file, 'utf8').matchAll(pattern)].map(([, code = '']) => code)
  if (found.length === 0) throw new SyntaxError(`${file} has no example`)
  return found
}
