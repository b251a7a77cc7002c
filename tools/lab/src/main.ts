// `npm start`: three real OpenBao nodes, each with its own TPM, killed and opening themselves again.
import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import { createSealedCluster } from '@sealwright/testing-cluster'
import { openBaoPath, temporaryFolder } from '@sealwright/testing-rig'
import { buildApps, NODE_APPS } from './build.ts'
import { keepAlive } from './live.ts'
import { tellStory, type StoryStep } from './story.ts'
import { renderMs, renderProof, renderSteps } from './table.ts'

const NODE_NAMES = ['node-a', 'node-b', 'node-c'] as const

interface Options {
  readonly once: boolean
  readonly json: boolean
}

const write = (text: string): void => {
  process.stdout.write(text)
}

async function run({ once, json }: Options, signal: AbortSignal): Promise<void> {
  await buildApps(NODE_APPS)
  const folder = await temporaryFolder()
  try {
    write(
      `Sealwright lab: ${NODE_NAMES.length} OpenBao nodes, ${NODE_NAMES.length} TPMs, all on loopback (${folder.path}); about 45 s\n\n`,
    )
    await using cluster = await createSealedCluster({ directory: folder.path, nodeNames: NODE_NAMES })
    const tokenPath = folder.join('root-token')
    const steps: StoryStep[] = []
    const startedAtMs = performance.now()
    const figures = await tellStory({
      cluster,
      signal,
      // A real operator revokes it. In a lab that stays up one wants to try things.
      onInitialised: rootToken => rootToken.reveal(bytes => writeFile(tokenPath, bytes, { mode: 0o600 })),
      onStep: step => {
        steps.push(step)
        write(`  ✓ ${step.what} (${renderMs(step.tookMs)})\n`)
      },
    })
    const wholeStoryMs = Math.round(performance.now() - startedAtMs)
    write(`\n${renderSteps(steps)}\n${renderProof(figures)}\n`)
    if (!once) {
      const [first] = cluster.nodes
      write(
        `The cluster stays up. Kill what you like and watch; Ctrl-C ends everything.\n` +
          `  export BAO_ADDR=${first?.apiAddress ?? ''} BAO_CACERT=${cluster.caPath} BAO_TOKEN=$(cat ${tokenPath})\n` +
          `  ${openBaoPath()} operator raft list-peers\n` +
          `  node_modules/.bin/node apps/sealctl/dist/main.mjs status --socket ${first?.node.controlSocketPath ?? ''}\n\n`,
      )
      await keepAlive({ cluster, signal, write }).catch((error: unknown) => {
        if (!signal.aborted) throw error
      })
    }
    if (json) write(`${JSON.stringify({ ...figures, wholeStoryMs })}\n`)
  } catch (error) {
    if (signal.aborted) {
      await folder.remove()
      throw error
    }
    process.stderr.write(
      `\nThe lab failed. Its logs and files stay in ${folder.path}: read them, then remove the folder.\n`,
    )
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

await new Command('npm start --')
  .description('Three real OpenBao nodes, each with its own TPM, lose power and open themselves again.')
  .option('--once', 'end after the proof', false)
  .option('--json', 'print the figures as one JSON object on the last line', false)
  .showHelpAfterError()
  .addHelpText(
    'after',
    '\nExit codes: 0 everything held (or Ctrl-C after the proof), 1 something failed, 130 stopped before the proof.',
  )
  .action(async (options: Options) => {
    try {
      await run(options, controller.signal)
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = controller.signal.aborted ? 130 : 1
    }
  })
  .parseAsync()
