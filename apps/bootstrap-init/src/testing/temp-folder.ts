import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder of mode 0700 for one test; removed, with all that is in it, when disposed of. */
export interface TempFolder extends AsyncDisposable {
  readonly path: string
}

/** Makes a fresh one. */
export async function tempFolder(): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), 'bootstrap-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
