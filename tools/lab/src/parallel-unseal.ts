// `npm run lab -- parallel-unseal`: the story of the RFC "Parallel Unseal of OpenBao" on real parts.
import { Command } from 'commander'
import { temporaryFolder } from '@sealwright/testing-rig'
import { buildApps } from './build.ts'
import { tellParallelStory } from './parallel/story.ts'
import { createWorld } from './parallel/world.ts'
import { type StoryStep } from './story.ts'
import { renderMs, renderParallelProof, renderSteps } from './table.ts'

const NODE_NAMES = ['node-a', 'node-b', 'node-c'] as const

const write = (text: string): void => {
  process.stdout.write(text)
}

async function run(json: boolean, signal: AbortSignal): Promise<void> {
  await buildApps()
  const folder = await temporaryFolder()
  try {
    write(
      `Parallel Unseal: three nodes with a TPM each, a PKCS#11 token, another OpenBao, and shares (${folder.path}); about two minutes\n\n`,
    )
    const steps: StoryStep[] = []
    await using world = await createWorld(folder, NODE_NAMES)
    const startedAtMs = performance.now()
    const figures = await tellParallelStory({
      ...{ world, folder, signal },
      onStep: step => {
        steps.push(step)
        write(`  ✓ ${step.what} (${renderMs(step.tookMs)})\n`)
      },
    })
    const wholeStoryMs = Math.round(performance.now() - startedAtMs)
    write(`\n${renderSteps(steps)}\n${renderParallelProof(figures)}\n`)
    if (json) write(`${JSON.stringify({ ...figures, wholeStoryMs })}\n`)
  } catch (error) {
    if (!signal.aborted) {
      process.stderr.write(
        `\nThe lab failed. Its logs and files stay in ${folder.path}: read them, then remove the folder.\n`,
      )
      throw error
    }
    await folder.remove()
    throw error
  }
  await folder.remove()
}

const controller = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (!controller.signal.aborted) process.stderr.write('\nstopping\n')
    controller.abort(new Error(`stopped by ${name}`))
  })
}

const program = new Command('npm run lab --').description('Stories of Sealwright on real parts.').showHelpAfterError()
program
  .command('parallel-unseal')
  .description('Any one of four named seals opens three nodes; rotations with one offline; recovery by shares alone.')
  .option('--json', 'print the figures as one JSON object on the last line', false)
  .addHelpText('after', '\nExit codes: 0 everything held, 1 something failed, 130 stopped.')
  .action(async ({ json }: { readonly json: boolean }) => {
    try {
      await run(json, controller.signal)
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = controller.signal.aborted ? 130 : 1
    }
  })
// `npm run lab -- parallel-unseal -- --json` hands the second `--` on.
await program.parseAsync(process.argv.filter(argument => argument !== '--'))
