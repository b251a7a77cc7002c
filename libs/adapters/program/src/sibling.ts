import { extname, join } from 'node:path'

/**
 * How to start another program that lies beside this one, by the same Node.
 *
 * @param mainPath - absolute, of the file that runs: bundled or not, the other one has the same ending.
 * @param name - of the other file, without its ending.
 */
export function siblingProgram(
  mainPath: string,
  name: string,
): { readonly command: string; readonly args: readonly string[] } {
  const folder = mainPath.slice(0, mainPath.lastIndexOf('/'))
  // Nobody opens a debugger to it by a signal.
  return { command: process.execPath, args: ['--disable-sigusr1', join(folder, `${name}${extname(mainPath)}`)] }
}
