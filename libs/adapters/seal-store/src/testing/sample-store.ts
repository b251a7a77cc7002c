import { readdir } from 'node:fs/promises'
import { openSealStore, type SealStore, type SealStoreOptions } from '../store.ts'
import { sampleKeyring, verifySample } from './sample-keyring.ts'

/** A signal that is never raised. */
export const never: AbortSignal = new AbortController().signal

/** Opens a store of sample keyrings. */
export function openSampleStore(path: string, options: Partial<SealStoreOptions> = {}): Promise<SealStore> {
  return openSealStore({ path, verify: verifySample, ...options })
}

/** Writes sample keyring `sequence` over whatever is there. */
export async function writeSample(store: SealStore, sequence: number, fillerBytes?: number): Promise<void> {
  await store.writeKeyring({
    bytes: sampleKeyring(sequence, fillerBytes),
    expectedCurrent: await store.readKeyring(),
    prove: acceptAll,
    signal: never,
  })
}

/** A proof that always holds. */
export const acceptAll = (): Promise<void> => Promise.resolve()

/** Sorted names of what is in a folder. */
export async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path)).sort()
}

/** What a matcher of Jest compares a thrown error with. */
export function storeError(code: string, message?: RegExp): unknown {
  return expect.objectContaining({
    name: 'StoreError',
    code,
    ...(message === undefined ? {} : { message: expect.stringMatching(message) as unknown }),
  })
}
