import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'

/** What one test has: a folder of its own, and all that it opens. Everything is closed after the test, however that ends. */
export interface TestScope {
  /** Private, with a short path. */
  readonly folder: TemporaryFolder
  /** Closes a resource after the test: the newest first, and each one even if another fails to close. */
  use<T extends AsyncDisposable>(resource: T): T
  /** Takes its turn among the resources: after all newer ones are closed, before any older one is. */
  afterwards(step: () => unknown): void
}

/** Gives each test of the file that calls it a scope of its own. */
export function testScope(): TestScope {
  return scopeBetween(beforeEach, afterEach)
}

/** Gives the tests of the file, or of the `describe`, that calls it one scope together. Each test leaves all as it found it. */
export function sharedScope(): TestScope {
  return scopeBetween(beforeAll, afterAll)
}

type Hook = (step: () => Promise<void>) => void

function scopeBetween(before: Hook, after: Hook): TestScope {
  let folder: TemporaryFolder
  let resources: AsyncDisposableStack

  before(async () => {
    resources = new AsyncDisposableStack()
    folder = resources.use(await temporaryFolder())
  })

  after(async () => {
    try {
      await resources.disposeAsync()
    } catch (error) {
      // Jest shows nothing of what a SuppressedError holds.
      throw error instanceof SuppressedError ? new AggregateError(failuresOf(error), 'several steps failed') : error
    }
  })

  return {
    get folder() {
      return folder
    },
    use: resource => resources.use(resource),
    afterwards(step) {
      resources.defer(async () => {
        await step()
      })
    },
  }
}

/** In the order in which they happened. */
function failuresOf(error: unknown): readonly unknown[] {
  return error instanceof SuppressedError ? [...failuresOf(error.suppressed), ...failuresOf(error.error)] : [error]
}
