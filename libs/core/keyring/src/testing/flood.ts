import { randomBytes } from 'node:crypto'

import { type Holding } from '../add-generation.ts'
import { describeGeneration } from '../generation.ts'
import { type Generation, type KeyringRecord, type Member } from '../keyring.ts'
import { compareGenerations, currentGeneration } from '../lineage.ts'
import { makeLink } from '../link.ts'
import { type GenerationState, type GenerationStep } from '../registry.ts'
import { ID_BYTES } from '../seal.ts'
import { compareLinks, compareMembers, compareRecords } from '../validate.ts'
import { wrapForRecord } from '../wrapped-key.ts'
import { changed, sealIdOf, sealKeyNamed, surroundings } from './samples.ts'

/** With generations beside each other that follow the current one. Only who has its key can do that. */
export function withGenerations(
  holding: Holding,
  count: number,
  { step = 'broken', state = 'pending' }: { readonly step?: GenerationStep; readonly state?: GenerationState } = {},
): Holding {
  const { keyring, sealKeys } = holding
  const generation = currentGeneration(keyring)
  const parent = { clusterId: keyring.clusterId, generation, sealKey: sealKeys.of(generation.id) }
  const more = Array.from({ length: count }, () =>
    describeGeneration({
      sealKey: sealKeyNamed(randomBytes(8).toString('hex')),
      keyId: undefined,
      parent,
      step,
      state,
    }),
  )
  return changed(holding, { generations: [...keyring.generations, ...more].sort(compareGenerations) })
}

/** So many chained generations later, as one rotation after the other makes it, but in one go. */
export function withChain({ keyring, sealKeys }: Holding, count: number): Holding {
  const { clusterId } = keyring
  const generations = [...keyring.generations]
  const links = [...keyring.links]
  let held = sealKeys
  let from = currentGeneration(keyring)
  for (let made = 0; made < count; made += 1) {
    const nextSealKey = sealKeyNamed(randomBytes(8).toString('hex'))
    const parent = { clusterId, generation: from, sealKey: held.of(from.id) }
    const to = describeGeneration({ sealKey: nextSealKey, keyId: undefined, parent, step: 'chained', state: 'active' })
    links.push(makeLink({ nextSealKey, sealKey: parent.sealKey, ends: { clusterId, from, to }, randomBytes }))
    generations.push(to)
    held = held.with(to.id, nextSealKey)
    from = to
  }
  const change = { generations: generations.sort(compareGenerations), links: links.sort(compareLinks) }
  return changed({ keyring, sealKeys: held }, change)
}

/** With members that nobody has, in the seal `tpm`. */
export function withMembers(holding: Holding, count: number, change: Partial<Member> = {}): Holding {
  const { keyring } = holding
  const more = Array.from({ length: count }, (): Member => ({
    sealId: sealIdOf(keyring),
    memberId: Uint8Array.from(randomBytes(ID_BYTES)),
    entryVersion: 1,
    state: 'active',
    label: 'nobody',
    wrappingKey: new Uint8Array(),
    data: new Uint8Array(),
    ...change,
  }))
  return changed(holding, { members: [...keyring.members, ...more].sort(compareMembers) })
}

/** With a record of one generation for every member that has none of it, with a sealed KEK of so many bytes. */
export function withRecordsOf(holding: Holding, generation: Generation, sealedKekBytes: number): Holding {
  const { keyring, sealKeys } = holding
  const sealKey = sealKeys.has(generation.id) ? sealKeys.of(generation.id) : sealKeyNamed('any')
  const records = keyring.members
    .filter(({ state }) => state === 'active')
    .map(({ sealId, memberId }): KeyringRecord => {
      const sealedKek = Uint8Array.from(randomBytes(sealedKekBytes))
      const place = { sealId, memberId, generationId: generation.id, method: 'tpm-sealed' as const, sealedKek }
      const binding = { ...place, clusterId: keyring.clusterId }
      const wrappedKey = wrapForRecord(sealKey, sealKey, { binding, ...surroundings })
      return { ...place, entryVersion: 1, createdAtMs: 0, wrappedKey }
    })
    .filter(record => keyring.records.every(each => compareRecords(each, record) !== 0))
  return changed(holding, { records: [...keyring.records, ...records].sort(compareRecords) })
}
