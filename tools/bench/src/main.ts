// `npm run bench -- tpm|restart|unseal|kms [--json]`: ratios against a named peer or limit in the same run.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Argument, Command } from 'commander'
import { repositoryRoot } from '@sealwright/testing-rig'
import { benchAgent } from './agent.ts'
import { benchClusterRestart } from './cluster.ts'
import { type FigureReport, toJson, toTable } from './figure.ts'
import { benchKms } from './kms.ts'
import { type Growth, growthJson, toGrowthTable } from './growth.ts'
import { benchNodeRestart } from './restart.ts'
import { benchTpm } from './tpm.ts'
import { benchUnseal } from './unseal.ts'

/** Those that the suites run. */
const APPS = ['apps/bootstrap-init', 'apps/unsealer-sidecar', 'apps/kms-plugin', 'apps/sealctl']

/** What a suite has measured. */
interface Measured {
  readonly figures: readonly FigureReport[]
  /** How keyrings grow; a table of its own. */
  readonly growths?: readonly Growth[]
}

const suites: Readonly<Record<string, (rounds: number) => Promise<Measured>>> = {
  tpm: async rounds => ({ figures: await benchTpm(rounds) }),
  restart: async rounds => ({
    figures: [
      ...(await benchNodeRestart(rounds)),
      ...(await benchClusterRestart(Math.max(3, Math.floor(rounds / 3)))),
      ...(await benchAgent(Math.max(3, Math.floor(rounds / 3)))),
    ],
  }),
  unseal: benchUnseal,
  kms: async rounds => ({ figures: await benchKms(rounds) }),
}

await new Command('npm run bench --')
  .description('Measures Sealwright against a named peer or limit in the same run.')
  .addArgument(new Argument('<suite>', 'what to measure').choices(Object.keys(suites)))
  .option('--rounds <number>', 'measured rounds', Number, 15)
  .option('--json', 'print one JSON object on the last line', false)
  .showHelpAfterError()
  .action(async (suite: string, { rounds, json }: { readonly rounds: number; readonly json: boolean }) => {
    if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds must be a whole number of at least 1')
    const root = repositoryRoot()
    await promisify(execFile)(process.execPath, [join(root, 'tools/build/app.mjs'), ...APPS], { cwd: root })
    const { figures = [], growths } = (await suites[suite]?.(rounds)) ?? {}
    process.stdout.write(`${toTable(figures)}\n`)
    if (growths !== undefined) process.stdout.write(`\n${toGrowthTable(growths)}\n`)
    if (json) {
      const others = growths === undefined ? {} : { keyring: growthJson(growths) }
      process.stdout.write(`${toJson(figures, others)}\n`)
    }
  })
  .parseAsync()
