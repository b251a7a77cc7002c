import { accessSync } from 'node:fs'
import { join } from 'node:path'
import { RigError, repositoryRoot } from '@sealwright/testing-rig'

/** The apps that a sealed node runs. */
export type ProgramName = 'bootstrap-init' | 'unsealer-sidecar' | 'sealctl' | 'kms-plugin'

/**
 * How every program is started: no debugger by signal, and a small young generation, since a program that waits for months
 * gains nothing from a large one (4 MiB of an agent's memory).
 */
const NODE_OPTIONS = ['--disable-sigusr1', '--max-semi-space-size=1']
/**
 * The KMS plugin makes much garbage in a moment, and rarely. What its calls leave dies in a young generation of this size; the old one
 * grows in small steps, or it would keep half as much memory again for the next time.
 */
const KMS_NODE_OPTIONS = ['--disable-sigusr1', '--max-semi-space-size=8', '--heap-growing-percent=20']

/** How to start one of our programs: the pinned Node and the bundled file, as an image would. */
export interface ProgramCommand {
  readonly command: string
  readonly args: readonly string[]
}

/** @throws {@link RigError} `RIG_TOOL_MISSING` if it was not built: `npm run build`. */
export function programCommand(name: ProgramName): ProgramCommand {
  const main = join(repositoryRoot(), 'apps', name, 'dist/main.mjs')
  try {
    accessSync(main)
  } catch (cause) {
    throw new RigError('RIG_TOOL_MISSING', `${name} is not built: run \`npm run build\``, { cause })
  }
  return {
    command: join(repositoryRoot(), 'node_modules/.bin/node'),
    args: [...(name === 'kms-plugin' ? KMS_NODE_OPTIONS : NODE_OPTIONS), main],
  }
}
