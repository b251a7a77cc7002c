import { hex, sameBytes } from '@sealwright/bytes'
import { currentGeneration, findGeneration, isQuantumExposed, type Keyring } from '@sealwright/keyring'

/** What a keyring says about how ready the cluster is, in numbers. */
export interface KeyringNumbers {
  /** Generations that blobs may still name, the current one among them: more than one while a rotation is not finished. */
  readonly activeGenerations: number
  /** By seal: how many generations the member that is furthest behind has to climb. */
  readonly lagBySeal: ReadonlyMap<string, number>
  /** By seal: records that a quantum computer could open from a copy of the keyring. */
  readonly quantumExposedBySeal: ReadonlyMap<string, number>
}

export function keyringNumbers(keyring: Keyring): KeyringNumbers {
  const current = currentGeneration(keyring)
  const lagBySeal = new Map<string, number>()
  const quantumExposedBySeal = new Map<string, number>()
  for (const seal of keyring.seals.filter(({ state }) => state === 'active')) {
    const records = keyring.records.filter(({ sealId }) => sameBytes(sealId, seal.sealId))
    const newest = new Map<string, number>()
    for (const { memberId, generationId } of records) {
      const id = hex(memberId)
      newest.set(id, Math.max(newest.get(id) ?? 0, findGeneration(keyring, generationId)?.number ?? 0))
    }
    lagBySeal.set(seal.name, Math.max(0, ...[...newest.values()].map(number => current.number - number)))
    quantumExposedBySeal.set(seal.name, records.filter(({ method }) => isQuantumExposed(method)).length)
  }
  const activeGenerations = keyring.generations.filter(({ state }) => state === 'active').length
  return { activeGenerations, lagBySeal, quantumExposedBySeal }
}
