// `npm run lab -- parallel-unseal` and `npm run lab -- kms`: stories on real parts.
import { Command } from 'commander'
import { buildApps, KMS_APPS, NODE_APPS } from './build.ts'
import { kmsStory } from './kms.ts'
import { parallelStory } from './parallel-unseal.ts'
import { runStory } from './run-story.ts'
import { setUpKubernetes } from './set-up.ts'

const EXIT_CODES_HELP = '\nExit codes: 0 everything held, 1 something failed, 130 stopped.'

const controller = new AbortController()
const { signal } = controller
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (!signal.aborted) process.stderr.write('\nstopping\n')
    controller.abort(new Error(`stopped by ${name}`))
  })
}

async function orExitCode(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = signal.aborted ? 130 : 1
  }
}

const program = new Command('npm run lab --').description('Stories of Sealwright on real parts.').showHelpAfterError()
const addStory = (name: string, description: string): Command =>
  program
    .command(name)
    .description(description)
    .option('--json', 'print the figures as one JSON object on the last line', false)

addStory(
  'parallel-unseal',
  'Any one of four named seals opens three nodes; rotations with one offline; recovery by shares alone.',
)
  .addHelpText('after', EXIT_CODES_HELP)
  .action(async ({ json }: { readonly json: boolean }) => {
    await orExitCode(async () => {
      await buildApps(NODE_APPS)
      await runStory(parallelStory, { json, signal })
    })
  })

addStory(
  'kms',
  'A real Kubernetes control plane encrypts its Secrets by a key in OpenBao; outage, tampering, rotation.',
)
  .option('--stay', 'keep everything up after the proof, until Ctrl-C', false)
  .addHelpText(
    'after',
    `${EXIT_CODES_HELP} Ctrl-C after the proof is 0.\nThe first time, Kubernetes is compiled: 5 to 16 minutes.`,
  )
  .action(async ({ json, stay: stays }: { readonly json: boolean; readonly stay: boolean }) => {
    await orExitCode(async () => {
      await setUpKubernetes(signal)
      await buildApps(KMS_APPS)
      await runStory(kmsStory({ stays }), { json, signal })
    })
  })

// `npm run lab -- parallel-unseal -- --json` hands the second `--` on.
await program.parseAsync(process.argv.filter(argument => argument !== '--'))
