import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type StoryStep } from './story.ts'
import { renderMs, renderSteps } from './table.ts'

/** Does one step of a story, and tells how long it took. Throws instead once the story is to be stopped. */
export type Step = <T>(what: string, work: () => Promise<T>) => Promise<{ readonly value: T; readonly tookMs: number }>

/** What a story is told with. */
export interface Telling {
  /** For all its files; gone at the end, unless the story failed. */
  readonly folder: TemporaryFolder
  readonly signal: AbortSignal
  readonly step: Step
  readonly onStep: (step: StoryStep) => void
  /** Shows lines of what is being told about. */
  readonly show: (lines: readonly string[]) => void
}

export interface Story<World extends AsyncDisposable, Figures extends object> {
  /** First line; `path` is that of the folder, to be named in round brackets. */
  readonly title: (path: string) => string
  readonly createWorld: (telling: Telling) => Promise<World>
  readonly tell: (world: World, telling: Telling) => Promise<Figures>
  readonly renderProof: (figures: Figures) => string
  /** Keeps the world up after the proof, until the signal is aborted. */
  readonly stay?: ((world: World, telling: Telling) => Promise<void>) | undefined
}

const write = (text: string): void => {
  process.stdout.write(text)
}

/** Tells a story on real parts: its steps as they happen, the proof, and the figures as JSON on the last line if `json` is set. */
export async function runStory<World extends AsyncDisposable, Figures extends object>(
  story: Story<World, Figures>,
  { json, signal }: { readonly json: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const folder = await temporaryFolder()
  try {
    write(`${story.title(folder.path)}\n\n`)
    const steps: StoryStep[] = []
    const onStep = (step: StoryStep): void => {
      steps.push(step)
      write(`  ✓ ${step.what} (${renderMs(step.tookMs)})\n`)
    }
    const telling: Telling = {
      ...{ folder, signal, onStep },
      step: async (what, work) => {
        signal.throwIfAborted()
        const startedAtMs = performance.now()
        const value = await work()
        const tookMs = performance.now() - startedAtMs
        onStep({ what, tookMs })
        return { value, tookMs }
      },
      show: lines => {
        write(lines.map(line => `${`      ${line}`.trimEnd()}\n`).join(''))
      },
    }
    await using world = await story.createWorld(telling)
    const startedAtMs = performance.now()
    const figures = await story.tell(world, telling)
    const wholeStoryMs = Math.round(performance.now() - startedAtMs)
    write(`\n${renderSteps(steps)}\n${story.renderProof(figures)}\n`)
    await story.stay?.(world, telling)
    if (json) write(`${JSON.stringify({ ...figures, wholeStoryMs })}\n`)
  } catch (error) {
    if (signal.aborted) await folder.remove()
    else {
      process.stderr.write(
        `\nThe lab failed. Its logs and files stay in ${folder.path}: read them, then remove the folder.\n`,
      )
    }
    throw error
  }
  await folder.remove()
}
