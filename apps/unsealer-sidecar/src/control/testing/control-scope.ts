import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlApiDependencies } from '../control-api.ts'
import { type SealOperations } from '../operations.ts'
import { type Asked, fakeOperations } from './fake-operations.ts'
import { serveControl } from './serve-control.ts'

/** A control socket with fake operations behind it, for one test. */
export interface ControlScope extends AsyncDisposable {
  readonly path: string
  readonly folder: string
  readonly asked: readonly Asked[]
  /** What the agent would have logged. */
  readonly failures: readonly unknown[]
}

export async function controlScope(
  options: {
    readonly operations?: Partial<SealOperations>
    readonly dependencies?: Partial<ControlApiDependencies>
  } = {},
): Promise<ControlScope> {
  const folder = await mkdtemp(join(tmpdir(), 'control-'))
  const path = join(folder, 'control.sock')
  const failures: unknown[] = []
  const { operations, asked } = fakeOperations(options.operations)
  const served = await serveControl(path, {
    ...{ operations, onFailure: (error: unknown) => failures.push(error) },
    ...options.dependencies,
  })
  return {
    ...{ path, folder, asked, failures },
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    },
  }
}
