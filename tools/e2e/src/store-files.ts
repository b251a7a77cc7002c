import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ProgramResult, type SealedNode } from '@sealwright/testing-cluster'

/** One entry of a seal store, as it must be found again. */
export interface StoreEntry {
  readonly mode: string
  readonly owner: number
  /** Content, for regular files. */
  readonly hex?: string
  /** Changes with any write, even of the same bytes. */
  readonly inode: number
  readonly modifiedAtNs: bigint
}

/** Everything in a seal store except its two lock files, which name who took them last; and the folder itself as `.`. */
export async function storeEntries(path: string): Promise<Readonly<Record<string, Partial<StoreEntry>>>> {
  const names = (await readdir(path)).filter(name => !name.endsWith('.lock')).sort()
  const entries = names.map(async name => [name, await entryAt(join(path, name))] as const)
  const { mode, owner } = await entryAt(path)
  return { '.': { mode, owner }, ...Object.fromEntries(await Promise.all(entries)) }
}

async function entryAt(path: string): Promise<StoreEntry> {
  const status = await lstat(path, { bigint: true })
  return {
    mode: (Number(status.mode) & 0o7777).toString(8),
    owner: Number(status.uid),
    inode: Number(status.ino),
    modifiedAtNs: status.mtimeNs,
    ...(status.isFile() ? { hex: await readFile(path, 'hex') } : {}),
  }
}

/** What a run of `bootstrap-init --json` says. */
export interface BootstrapAnswer {
  readonly result: string
  readonly keyId: string
  readonly seals: readonly { readonly name: string; readonly state: string; readonly code?: string }[]
  readonly connector?: { readonly outcome: string; readonly path: string; readonly sha256: string }
}

/** Where there is no seal key, as on every node once it was destroyed. */
export const NO_SEAL_KEY = '/nonexistent/bootstrap'

/** Asserts that a run went well, and reads what it said. */
export function answerOf({ exitCode, stdout, stderr }: ProgramResult): BootstrapAnswer {
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return JSON.parse(stdout) as BootstrapAnswer
}

/** Asserts that a run failed in one line that an operator understands, with its code and exit code. */
export function expectRefusal({ exitCode, stdout, stderr }: ProgramResult, code: string, wantedExitCode: number): void {
  expect(stderr).toMatch(new RegExp(`^bootstrap-init: ${code}: .{20,}\\n$`))
  expect({ exitCode, stdout }).toEqual({ exitCode: wantedExitCode, stdout: '' })
}

/** Asserts, through the TPM, that the stored keyring opens and that this run changed nothing. */
export async function expectOpens(node: SealedNode): Promise<void> {
  expect(answerOf(await node.bootstrap(NO_SEAL_KEY))).toMatchObject({
    result: 'unchanged',
    seals: [{ name: 'tpm', state: 'opens' }],
  })
}
