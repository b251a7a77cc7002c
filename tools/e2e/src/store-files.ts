import { lstat, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'

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

/** By name; the folder itself as `.`. */
export type StoreEntries = Readonly<Record<string, Partial<StoreEntry>>>

/** Everything in a seal store except its two lock files, which name who took them last; and the folder itself. */
export async function storeEntries(path: string): Promise<StoreEntries> {
  const names = (await readdir(path)).filter(name => !name.endsWith('.lock')).sort()
  const entries = names.map(async name => [name, await entryAt(join(path, name))] as const)
  const { mode, owner } = await entryAt(path)
  return { '.': { mode, owner }, ...Object.fromEntries(await Promise.all(entries)) }
}

/** What {@link storeEntries} are of a store that was made but never written to. */
export function expectEmpty(entries: StoreEntries): void {
  expect(Object.keys(entries)).toEqual(['.'])
}

export function keyringPath(node: SealedNode): string {
  return join(node.storePath, 'keyring')
}

/** Points the node's configuration at another store. */
export async function useStore(node: SealedNode, store: string): Promise<void> {
  const config = JSON.parse(await readFile(node.configPath, 'utf8')) as Readonly<Record<string, unknown>>
  await writeFile(node.configPath, JSON.stringify({ ...config, store }))
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
