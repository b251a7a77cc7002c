import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { memberSetFingerprint } from '@sealwright/control-api'
import { addRecord, createKeyring, decodeKeyring, encodeKeyring, type Keyring } from '@sealwright/keyring'
import { parseNodeConfig } from '@sealwright/node-config'
import {
  adoptKeyring,
  agentLock,
  configuredSeals,
  encodeEnrolmentRequest,
  enrolmentFingerprint,
  makeEnrolmentRequest,
  openKeyringStore,
  readStoredKeyring,
  unwrapThrough,
} from '@sealwright/node-seals'
import { Secret } from '@sealwright/secret'
import { startSwtpm, type Swtpm, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { keyringCustody, type Custody } from '../keyring/custody.ts'
import { type LocalSeals, localSeals } from '../local-seals.ts'
import { agentReporter } from '../report/log.ts'
import { agentMetrics } from '../report/metrics.ts'
import { agreedBreak } from '../testing/agreed-break.ts'
import { sealOperations } from './operations.ts'

const { signal } = new AbortController()
const caller = { processId: undefined, userId: undefined }
const chained = { breakChain: false, drop: [], nodes: [], lost: [], members: undefined }
const programs = { pkcs11Program: { command: '/nonexistent', args: [] } } as const
const log = pino({ level: 'silent' })

let folder: TemporaryFolder
let tpms: readonly Swtpm[]
let running: Running

/** The parts of an agent that hold and change the keyring. */
interface Running extends AsyncDisposable {
  readonly custody: Custody
  readonly seals: LocalSeals
  readonly operations: ReturnType<typeof sealOperations>
}

function configFor(tpm: Swtpm | undefined, ...more: readonly object[]) {
  const seals = [
    { name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: tpm?.socketPath ?? '/nowhere' }, deadlineMs: 5_000 },
    { name: 'people', type: 'shamir', priority: 100 },
    ...more,
  ]
  return parseNodeConfig(JSON.stringify({ store: join(folder.path, 'seal'), seals }), 'node.yaml')
}

/** An agent over the store of this test, which probes its seals once. */
async function started(config = configFor(tpms[0])): Promise<Running> {
  const seals = localSeals(config, programs)
  const lock = agentLock(config.store)
  const custody = keyringCustody({
    ...{ storePath: config.store, log, signal, clusterId: seals.clusterId, onChanged: () => undefined },
    ...{ lock, seals: seals.enabled },
    ...{ metrics: agentMetrics(Date.now), report: agentReporter(log, Date.now) },
  })
  await custody.holder.probe(signal)
  const operations = sealOperations({
    ...{ custody, configured: seals.configured, seals: seals.enabled },
    reload: () => Promise.reject(new Error('there is no file to read')),
  })
  return {
    ...{ custody, seals, operations },
    async [Symbol.asyncDispose]() {
      operations[Symbol.dispose]()
      await seals[Symbol.asyncDispose]()
      custody.close()
      await lock[Symbol.asyncDispose]()
    },
  }
}

function held({ custody }: Running): Keyring {
  const keyring = custody.holder.held()?.key.keyring
  if (keyring === undefined) throw new Error('sealed')
  return keyring
}

beforeEach(async () => {
  folder = await temporaryFolder()
  tpms = await Promise.all(['one', 'two'].map(name => startSwtpm({ directory: folder.join(name) })))
  const config = configFor(tpms[0])
  const [seal] = configuredSeals(config, programs)
  const keyring = await seal?.withLocalMember({ knownIn: undefined, signal }, member =>
    createKeyring({
      ...{ sealName: 'tpm', member, method: member.method, label: 'one', sealKey: new Secret(randomBytes(32)) },
      ...{ now: Date.now, randomBytes, signal },
    }),
  )
  if (keyring === undefined) throw new Error('no keyring')
  await using store = await openKeyringStore(config.store, { create: true })
  await store.writeKeyring({
    ...{ bytes: encodeKeyring(keyring), expectedCurrent: undefined, signal },
    prove: bytes => {
      decodeKeyring(bytes)
      return Promise.resolve()
    },
  })
  await store[Symbol.asyncDispose]()
  running = await started()
})

afterEach(async () => {
  await running[Symbol.asyncDispose]()
  await Promise.all(tpms.map(tpm => tpm.stop()))
  await folder.remove()
})

async function withShares(threshold = 2, count = 3, label?: string): Promise<readonly Secret[]> {
  const { shares, member } = await newShares(threshold, count, label)
  await running.operations.confirmShares({ sealName: 'people', memberId: member.memberId, caller }, signal)
  return shares
}

async function newShares(threshold = 2, count = 3, label?: string) {
  return await running.operations.initialise(
    { sealName: 'people', label, shares: { threshold, count }, caller },
    signal,
  )
}

/** The same store, and a TPM that never answers. */
async function withoutTpm(): Promise<void> {
  await running[Symbol.asyncDispose]()
  running = await started(configFor(undefined))
  expect(running.custody.holder.held()).toBeUndefined()
}

async function enter(share: Secret | undefined, more: { nonce?: string; sealName?: string } = {}) {
  if (share === undefined) throw new Error('no share')
  return await running.operations.enterShare({ sealName: more.sealName, nonce: more.nonce, share, caller }, signal)
}

describe('a Shamir seal', () => {
  it('is made while another seal is open, and opens the keyring when nothing else does', async () => {
    const shares = await withShares()
    expect(shares).toHaveLength(3)
    expect((await readStoredKeyring(configFor(tpms[0]).store)).records).toHaveLength(2)
    await withoutTpm()

    const first = await enter(shares[2])
    expect(first).toMatchObject({ sealName: 'people', threshold: 2, count: 3, entered: [3], isComplete: false })
    expect(running.operations.ceremonies()).toEqual([first])
    expect(running.custody.holder.held()).toBeUndefined()
    expect(await enter(shares[0], { nonce: first.nonce })).toMatchObject({ entered: [3, 1], isComplete: true })
    expect(running.custody.holder.held()?.sealName).toBe('people')
    expect(running.operations.ceremonies()).toEqual([])
  })

  it('has no record of a set before its shares have arrived, and takes the word for that once', async () => {
    const before = await readStoredKeyring(configFor(tpms[0]).store)
    const { shares, member } = await newShares()
    expect(member).toMatchObject({
      sealName: 'people',
      state: 'active',
      records: [],
      shares: { threshold: 2, count: 3 },
    })
    expect(await readStoredKeyring(configFor(tpms[0]).store)).toEqual(before)
    expect(running.operations.members().map(({ sealName }) => sealName)).toEqual(['tpm'])

    const { memberId } = member
    const confirm = (sealName: string, id = memberId) =>
      running.operations.confirmShares({ sealName, memberId: id, caller }, signal)
    await expect(confirm('tpm')).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
    await expect(confirm('people', '00'.repeat(16))).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
    const confirmed = await confirm('people')
    expect(confirmed).toMatchObject({ memberId, records: [{ method: 'shamir-hybrid' }] })
    const { revision } = held(running)
    expect(await confirm('people')).toEqual(confirmed)
    expect(held(running).revision).toBe(revision)
    await withoutTpm()
    await enter(shares[0])
    expect(await enter(shares[1])).toMatchObject({ isComplete: true })
  })

  it('makes and confirms no second set of one label: people tell their cards apart by it', async () => {
    const { member } = await newShares(2, 2, 'board')
    await withShares(2, 2, 'board')
    const taken = { code: 'OPERATION_INVALID', message: expect.stringContaining('called board already') as string }
    await expect(newShares(2, 2, 'board')).rejects.toMatchObject(taken)
    const confirm = running.operations.confirmShares({ sealName: 'people', memberId: member.memberId, caller }, signal)
    await expect(confirm).rejects.toMatchObject(taken)
    expect(running.operations.members().filter(({ label }) => label === 'board')).toHaveLength(1)
  })

  it('lets a set that was not confirmed go with the agent, and of many the oldest', async () => {
    const sets: string[] = []
    for (let count = 0; count < 17; count += 1) sets.push((await newShares(2, 2, `team-${count}`)).member.memberId)
    const confirm = (memberId = '') =>
      running.operations.confirmShares({ sealName: 'people', memberId, caller }, signal)
    await expect(confirm(sets[0])).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
    expect(await confirm(sets[1])).toMatchObject({ label: 'team-1' })
    await running[Symbol.asyncDispose]()
    running = await started()
    await expect(confirm(sets[16])).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
    expect(
      running.operations
        .members()
        .map(({ label }) => label)
        .sort(),
    ).toEqual(['one', 'team-1'])
  })

  it('opens what was rotated since its shares were made, without anybody bringing one', async () => {
    const shares = await withShares()
    for (let rotation = 1; rotation <= 3; rotation++) {
      await running.operations.rotate({ ...chained, caller }, signal)
    }
    expect(held(running).records.filter(({ method }) => method === 'shamir-hybrid')).toHaveLength(4)
    await withoutTpm()
    await enter(shares[0])
    await enter(shares[1])
    expect(held(running).generations).toHaveLength(4)
  })

  it('tells the sets of a seal, and which shares are in', async () => {
    const shares = await withShares()
    const sets = await running.operations.shareSets('people')
    expect(sets).toMatchObject([{ threshold: 2, entered: [], nonce: '', isComplete: false }])
    await withoutTpm()
    await enter(shares[1])
    expect(await running.operations.shareSets('people')).toMatchObject([{ threshold: 2, entered: [2] }])
    expect(await running.operations.shareSets('tpm')).toEqual([])
  })

  it('names a wrong share, a repeated one and a stray one, and goes on', async () => {
    const shares = await withShares()
    const others = await withShares(2, 2, 'other-team')
    await withoutTpm()
    const first = await enter(shares[0])
    await expect(enter(shares[0])).rejects.toMatchObject({ code: 'SHAMIR_SHARE_REPEATED' })
    await expect(enter(shares[1], { nonce: '00' })).rejects.toMatchObject({ code: 'SHAMIR_NONCE_MISMATCH' })
    using typo = shares[1]?.clone()
    typo?.reveal(bytes => {
      bytes[20] = bytes[20] === 0x30 ? 0x31 : 0x30
    })
    await expect(enter(typo)).rejects.toMatchObject({ code: 'SHAMIR_SHARE_MISTYPED' })
    // Another set of the same seal has a ceremony of its own.
    expect(await enter(others[0])).toMatchObject({ setLabel: 'other-team', entered: [1] })
    expect(running.operations.ceremonies()).toHaveLength(2)

    await running.operations.resetShares({ sealName: undefined, caller })
    expect(running.operations.ceremonies()).toEqual([])
    const again = await enter(shares[1])
    expect(again.nonce).not.toBe(first.nonce)
    expect(again.entered).toEqual([2])
  })

  it('is rehearsed without anything being opened', async () => {
    const shares = await withShares(2, 3)
    await withoutTpm()
    const rehearse = (...which: readonly number[]) =>
      running.operations.rehearse(
        { sealName: undefined, shares: which.flatMap(index => shares[index] ?? []), caller },
        signal,
      )
    expect(await rehearse(0, 2)).toMatchObject({ isQuorum: true, shares: [{ index: 1, isRight: true }, { index: 3 }] })
    expect(await rehearse(1)).toMatchObject({ isQuorum: false, threshold: 2 })
    expect(await rehearse(1, 1)).toMatchObject({
      isQuorum: false,
      shares: [{ isRight: true }, { isRight: false, fault: { code: 'SHAMIR_SHARE_REPEATED' } }],
    })
    expect(running.custody.holder.held()).toBeUndefined()
  })

  it('is told of a card whose set was removed that it is of that one, whether it comes first or not', async () => {
    const old = await withShares(2, 2, 'old')
    const shares = await withShares(2, 2, 'new')
    const { memberId } = running.operations.members().find(({ label }) => label === 'old') ?? {}
    const { members, nodes, lost } = agreedBreak({ keyring: held(running) }, { drop: [memberId ?? ''] })
    await running.operations.rotate({ breakChain: true, drop: [memberId ?? ''], nodes, lost, members, caller }, signal)
    const brought = [...old.slice(0, 1), ...shares]
    const rehearsal = await running.operations.rehearse({ sealName: undefined, shares: brought, caller }, signal)
    const fault = {
      code: 'SHAMIR_OTHER_SET',
      message: expect.stringContaining('old of the seal people, which was removed') as string,
    }
    expect(rehearsal).toMatchObject({
      ...{ isQuorum: true, setLabel: 'new' },
      shares: [{ isRight: false, fault }, { isRight: true }, { isRight: true }],
    })
    await expect(enter(old[0])).rejects.toMatchObject(fault)
  })

  it('is not opened for a seal that there is none of', async () => {
    await expect(running.operations.rehearse({ sealName: 'nobody', shares: [], caller }, signal)).rejects.toMatchObject(
      { code: 'OPERATION_SEAL_UNKNOWN' },
    )
  })
})

describe('breaking the chain', () => {
  /** With all who are members now, as an operator has seen them. */
  async function breakChain({ drop = [] }: { readonly drop?: readonly string[] } = {}) {
    const { members, nodes, lost } = agreedBreak({ keyring: held(running) }, { drop })
    return await running.operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
  }

  it('gives every member a new record, and no old key leads to it', async () => {
    const shares = await withShares()
    const result = await breakChain()
    expect(result.wrapped.map(({ sealName }) => sealName).sort()).toEqual(['people', 'tpm'])
    expect(result.dropped).toEqual([])
    expect(held(running).links).toEqual([])
    await running[Symbol.asyncDispose]()
    running = await started()
    expect(running.custody.holder.held()?.key.current.number).toBe(2)
    await withoutTpm()
    await enter(shares[0])
    await enter(shares[1])
    expect(running.custody.holder.held()?.key.current.number).toBe(2)
  })

  it('names who cannot be reached, changes nothing, and gives up only who is named', async () => {
    const second = {
      name: 'second',
      type: 'tpm',
      priority: 2,
      tpm: { socket: tpms[1]?.socketPath ?? '' },
      pinFile: join(folder.path, 'pin'),
    }
    await writeFile(join(folder.path, 'pin'), '1234', { mode: 0o600 })
    await running.seals.replace(configFor(tpms[0], second))
    const { member } = await running.operations.initialise(
      { sealName: 'second', label: 'two', shares: undefined, caller },
      signal,
    )
    await tpms[1]?.stop()
    const before = held(running)
    const attempt = breakChain()
    await expect(attempt).rejects.toMatchObject({ code: 'OPERATION_MEMBERS_UNREACHABLE' })
    await expect(attempt).rejects.toThrow(member.memberId)
    expect(held(running)).toBe(before)

    const result = await breakChain({ drop: [member.memberId] })
    expect(result.dropped).toEqual([{ sealName: 'second', memberId: member.memberId, label: 'two' }])
    expect(running.operations.members().find(({ memberId }) => memberId === member.memberId)?.state).toBe('removed')
    await expect(breakChain({ drop: ['00'] })).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
  })
})

describe('a public key that somebody has put in the place of another', () => {
  it('gets no record: its holder would be a member that nobody has seen', async () => {
    const [theirs] = configuredSeals(configFor(tpms[1]), programs)
    await running.custody.change(
      async ({ keyring, sealKeys }) => ({
        keyring:
          (await theirs?.withLocalMember(
            { knownIn: undefined, signal },
            ({ wrappingKey = new Uint8Array(), ...member }) =>
              addRecord({
                ...{ keyring, sealKeys, sealName: 'tpm', label: 'away', wrappingKey, method: member.method },
                member: { ...member, memberId: new Uint8Array(16).fill(7) },
                ...{ now: Date.now, randomBytes, signal },
              }),
          )) ?? keyring,
        sealKeys,
      }),
      signal,
    )
    const { drop, nodes, lost, members } = agreedBreak({ keyring: held(running) })
    const before = held(running)
    const attempt = running.operations.rotate({ breakChain: true, drop, nodes, lost, members, caller }, signal)
    await expect(attempt).rejects.toMatchObject({ code: 'OPERATION_MEMBERS_UNREACHABLE' })
    await expect(attempt).rejects.toThrow('that of another member')
    expect(held(running)).toBe(before)
  })
})

describe('taking away', () => {
  it('needs the name again, and never takes the last way in nor the seal that is in use', async () => {
    const remove = (sealName: string, confirm = sealName) =>
      running.operations.deleteSeal({ sealName, confirm, checkedNodes: ['one'], caller }, signal)
    await withShares()
    await expect(remove('people', 'poeple')).rejects.toMatchObject({ code: 'OPERATION_NOT_CONFIRMED' })
    await expect(remove('tpm')).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
    await expect(remove('people')).rejects.toMatchObject({ code: 'OPERATION_SEAL_IN_USE' })
    await expect(remove('nothing')).rejects.toMatchObject({ code: 'OPERATION_SEAL_UNKNOWN' })
    const [tpm] = configFor(tpms[0]).seals
    await running.seals.replace({ ...configFor(tpms[0]), seals: tpm === undefined ? [] : [tpm] })
    await remove('people')
    expect(running.operations.seals().map(({ name }) => name)).toEqual(['tpm'])
    const member = running.operations.members().find(({ state }) => state === 'active')
    const agreed = { drop: [], nodes: ['one'], lost: ['one'], members: memberSetFingerprint([]) }
    const revoke = running.operations.revokeMember(
      { sealName: 'tpm', memberId: member?.memberId ?? '', confirm: 'one', ...agreed, caller },
      signal,
    )
    await expect(revoke).rejects.toMatchObject({ code: 'OPERATION_LAST_WAY_IN' })
  })
  it('is not undone by a word for shares that comes after it', async () => {
    await withShares(2, 3, 'board')
    const { member } = await newShares(2, 3, 'next')
    const [tpm] = configFor(tpms[0]).seals
    await running.seals.replace({ ...configFor(tpms[0]), seals: tpm === undefined ? [] : [tpm] })
    await running.operations.deleteSeal(
      { sealName: 'people', confirm: 'people', checkedNodes: ['one'], caller },
      signal,
    )
    const { memberId } = member
    const late = running.operations.confirmShares({ sealName: 'people', memberId, caller }, signal)
    await expect(late).rejects.toMatchObject({ code: 'OPERATION_MEMBER_UNKNOWN' })
    expect(running.operations.seals().map(({ name }) => name)).toEqual(['tpm'])
  })
})

describe('a new node', () => {
  it('is let in by its public key after its fingerprint was compared, and makes a record of its own', async () => {
    const away = join(folder.path, 'seal-two')
    const clusterId = Buffer.from(held(running).clusterId).toString('hex')
    const config = { ...configFor(tpms[1]), store: away, clusterId }
    const seals = configuredSeals(config, programs)
    const [seal] = seals
    if (seal === undefined) throw new Error('no seal')
    const request = await makeEnrolmentRequest(seal, 'two', signal)
    const bytes = encodeEnrolmentRequest(request)
    const approve = (fingerprint: string) =>
      running.operations.approveEnrolment({ bytes, fingerprint, label: 'two', caller }, signal)
    await expect(approve('0000')).rejects.toMatchObject({ code: 'OPERATION_NOT_CONFIRMED' })
    const { member, keyring } = await approve(enrolmentFingerprint(request))
    expect(member).toMatchObject({ label: 'two', records: [{ method: 'tpm-imported', isQuantumExposed: true }] })
    await expect(approve(enrolmentFingerprint(request))).rejects.toMatchObject({ code: 'OPERATION_INVALID' })

    const brought = decodeKeyring(keyring)
    using sealKeys = await unwrapThrough(seal, brought, signal)
    const adopted = await adoptKeyring(
      { keyring: brought, sealKeys, clusterId: Buffer.from(clusterId, 'hex'), seals, storePath: away, label: 'two' },
      signal,
    )
    expect(adopted.opens).toEqual(['tpm'])
    const stored = await readStoredKeyring(away)
    expect(stored.records.map(({ method }) => method)).toEqual(['tpm-sealed', 'tpm-sealed'])
    await running.operations.importKeyring({ bytes: encodeKeyring(stored), caller }, signal)
    expect(running.operations.members().flatMap(({ records }) => records.map(({ method }) => method))).toEqual([
      'tpm-sealed',
      'tpm-sealed',
    ])
  })
  it('is let in by each of two seals that its one TPM is for', async () => {
    const withSecond = (tpm: Swtpm | undefined) =>
      configFor(tpm, { name: 'second', type: 'tpm', priority: 2, tpm: { socket: tpm?.socketPath ?? '/nowhere' } })
    await running.seals.replace(withSecond(tpms[0]))
    await running.operations.initialise({ sealName: 'second', label: 'one', shares: undefined, caller }, signal)
    for (const seal of configuredSeals(withSecond(tpms[1]), programs)) {
      const request = await makeEnrolmentRequest(seal, 'two', signal)
      const asked = { bytes: encodeEnrolmentRequest(request), fingerprint: enrolmentFingerprint(request) }
      const { member } = await running.operations.approveEnrolment({ ...asked, label: 'two', caller }, signal)
      expect(member).toMatchObject({ sealName: seal.name, label: 'two', state: 'active' })
    }
  })
})
