import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SealedNode } from '@sealwright/testing-cluster'
import { Secret } from '@sealwright/secret'
import { createShareSet, encodeShare, parseShare } from '@sealwright/shamir'

/** Files with a card each, as `sealctl init` has written them, by the number of the share less one. */
export type Cards = readonly string[]

/** Has `sealctl init` make a set of shares. */
export async function makeShares(
  node: SealedNode,
  { seal, label, folder, shares, threshold }: ShareRequest,
): Promise<Cards> {
  const amounts = ['--shares', String(shares), '--threshold', String(threshold)]
  const made = await node.sealctl('init', '--seal', seal, '--label', label, ...amounts, '--output', folder)
  expect(made).toMatchObject({ exitCode: 0, stderr: '' })
  return Array.from({ length: shares }, (_, index) => join(folder, `share-${index + 1}-of-${shares}`))
}

export interface ShareRequest {
  readonly seal: string
  readonly label: string
  /** A new folder for the cards. */
  readonly folder: string
  readonly shares: number
  readonly threshold: number
}

/** A copy of a card whose share is well typed and not the one that was handed out. */
export async function wrongCard(card: string): Promise<string> {
  const line = (await readFile(card, 'utf8')).split('\n').find(each => each.startsWith('sw-share-')) ?? ''
  const share = parseShare(Buffer.from(line))
  const value = new Secret(share.value.reveal(bytes => Uint8Array.from(bytes, byte => byte ^ 1)))
  return await writeCard(`${card}-wrong`, encodeShare({ ...share, value }))
}

/** A share of a cluster that nobody here knows. */
export async function foreignCard(path: string): Promise<string> {
  const { shares } = createShareSet({
    ...{ clusterId: randomBytes(16), threshold: 2, shares: 2 },
    randomBytes: byteLength => Uint8Array.from(randomBytes(byteLength)),
  })
  const [share] = shares
  if (share === undefined) throw new TypeError('a set has shares')
  return await writeCard(path, encodeShare(share))
}

async function writeCard(path: string, text: Secret): Promise<string> {
  await text.reveal(bytes => writeFile(path, bytes, { mode: 0o600 }))
  return path
}
