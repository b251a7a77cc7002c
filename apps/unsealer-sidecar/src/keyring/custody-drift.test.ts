import { type SealMember } from '@sealwright/keyring'
import { temporaryFolder, type TemporaryFolder, waitUntil } from '@sealwright/testing-rig'
import { TpmError } from '@sealwright/tpm'
import { fakeSeal, type FakeSeal } from '../testing/fake-seal.ts'
import { ahead, begun, bytesOf, enrolled, type Holding } from '../testing/keyrings.ts'
import { testNode, type TestNode } from '../testing/test-node.ts'
import { tendOnce } from './tending.ts'

const WAIT_MS = 10_000
const { signal } = new AbortController()

/** A TPM whose machine boots with one firmware or another: what it sealed under one does not open under the other. */
interface DriftingSeal extends FakeSeal {
  boot(firmware: number): void
}

function driftingSeal(options: Parameters<typeof fakeSeal>[0] = {}): DriftingSeal {
  const inner = fakeSeal(options)
  let firmware = 1
  const drifting = (member: SealMember): SealMember => ({
    ...member,
    sealKek: async (kek, call) => Uint8Array.of(firmware, ...(await member.sealKek(kek, call))),
    unsealKek: async (sealedKek, call) => {
      const kek = await member.unsealKek(sealedKek.subarray(1), call)
      if (sealedKek[0] === firmware) return kek
      kek.wipe()
      throw new TpmError('TPM_PCR_MISMATCH', 'this machine is not in the state that the seal demands')
    },
  })
  return {
    ...inner,
    boot(next) {
      firmware = next
    },
    withLocalMember: (known, use) => inner.withLocalMember(known, member => use(drifting(member))),
    withRecordedMember: (keyring, callSignal, use) =>
      inner.withRecordedMember(keyring, callSignal, (member, sealId) => use(drifting(member), sealId)),
  }
}

let folder: TemporaryFolder
let tpm: DriftingSeal
/** The keyring of before, and what was made of it under the new firmware. */
let old: Holding
let resealed: Holding
let node: TestNode

beforeEach(async () => {
  folder = await temporaryFolder()
  tpm = driftingSeal()
  old = await begun([tpm])
  tpm.boot(2)
  resealed = await enrolled(old, [tpm])
  tpm.boot(1)
})

afterEach(async () => {
  await node[Symbol.asyncDispose]()
  await folder.remove()
})

/** A node with the keyring of before, to which OpenBao has brought the newer one; waits until that could not be stored. */
async function takenBack(seals: readonly FakeSeal[], brought = resealed): Promise<void> {
  node = testNode({ storePath: folder.join('seal'), seals })
  await node.store(old.keyring)
  await node.tryToOpen()
  await node.absorb(bytesOf(brought))
  await waitUntil(() => node.notStored.length > 0, { what: 'trouble with the store', timeoutMs: WAIT_MS })
  expect([...node.custody.toRenew()]).toEqual(['tpm'])
}

async function tend(seals: readonly FakeSeal[]): Promise<readonly string[]> {
  const renewed: string[] = []
  const dependencies = {
    ...{ custody: node.custody, seals: () => seals },
    onRenewed: (names: readonly string[]) => renewed.push(...names),
    onLookedAfter: () => undefined,
  }
  await tendOnce(dependencies, signal)
  return renewed
}

async function expectOpensAfterRestart(seals: readonly FakeSeal[]): Promise<void> {
  await node[Symbol.asyncDispose]()
  node = testNode({ storePath: folder.join('seal'), seals })
  await node.tryToOpen()
  expect(node.attempts).toMatchObject(seals.map(({ name }) => ({ kind: 'opened', sealName: name })))
}

describe('a firmware that was taken back, while OpenBao brings the record of the newer one', () => {
  it('keeps the store whose record opens, blames no seal, and has a new record made that opens after a restart', async () => {
    await takenBack([tpm])
    expect(await node.stored()).toEqual(bytesOf(old))
    expect(node.notStored[0]).toMatchObject({ code: 'STORE_PROOF_FAILED', cause: { code: 'KEYRING_NO_WAY_IN' } })
    await node.tryToOpen()
    expect(node.custody.holder.health('tpm')).toMatchObject({ kind: 'healthy' })

    expect(await tend([tpm])).toEqual(['tpm'])
    expect([...node.custody.toRenew()]).toEqual([])
    const stored = await node.storedKeyring()
    expect(stored).toEqual(node.held().keyring)
    expect(stored.records).toMatchObject([{ entryVersion: 3 }])
    await node.absorb(bytesOf(resealed))
    await node.settle()
    expect(await node.storedKeyring()).toEqual(stored)
    await expectOpensAfterRestart([tpm])
  })

  it('follows rotations that were made under the newer one, too', async () => {
    await takenBack([tpm], ahead(resealed, 2))
    expect(node.held().current.number).toBe(3)
    expect(await tend([tpm])).toEqual(['tpm'])
    expect((await node.storedKeyring()).generations).toHaveLength(3)
    await expectOpensAfterRestart([tpm])
  })

  it.each([
    ['after the TPM', 9],
    ['before it, so that the TPM was not asked yet', 0],
  ])('keeps the record of the TPM also where another seal opens everything, asked %s', async (_, priority) => {
    const other = fakeSeal({ name: 'other', device: 'b', priority })
    const seals = priority === 0 ? [other, tpm] : [tpm, other]
    ;[old, resealed] = [await enrolled(old, [other]), await enrolled(resealed, [other])]
    await takenBack(seals)
    expect(await node.stored()).toEqual(bytesOf(old))
    expect(await tend(seals)).toEqual(['tpm'])
    await expectOpensAfterRestart(seals)
  })

  it('makes no record where none of the TPM opens: a drift may be an attack', async () => {
    const other = fakeSeal({ name: 'other', device: 'b', priority: 9 })
    ;[old, resealed] = [await enrolled(old, [other]), await enrolled(resealed, [other])]
    tpm.boot(3)
    node = testNode({ storePath: folder.join('seal'), seals: [tpm, other] })
    await node.store(old.keyring)
    await node.tryToOpen()
    await node.absorb(bytesOf(resealed))
    await node.settle()
    expect([...node.custody.toRenew()]).toEqual([])
    expect(await tend([tpm, other])).toEqual([])
    // The newer keyring is stored: no record that opens was lost by it.
    expect(await node.storedKeyring()).toEqual(node.held().keyring)
  })

  it('tries no PIN a second time for it', async () => {
    const asked = tpm.asked()
    const wrong = new TpmError('TPM_PIN_WRONG', 'the PIN was refused')
    await takenBack([tpm])
    const before = tpm.asked()
    tpm.failWith(wrong)
    await expect(tend([tpm])).rejects.toMatchObject({ code: 'CUSTODY_SEALED' })
    await node.tryToOpen()
    expect(tpm.asked()).toBe(before + 1)
    expect(before).toBeGreaterThan(asked)
  })
})
