import { type Keyring, KeyringError } from '@sealwright/keyring'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun } from '../testing/keyrings.ts'
import { keyringOffers } from './offers.ts'

let ours: Keyring

beforeAll(async () => {
  ours = (await begun([fakeSeal()])).keyring
})

const forgeries = (count: number): readonly Keyring[] =>
  Array.from({ length: count }, (_, index) => ({ ...ours, revision: 1_000 - index }))
const strangers = async (count: number): Promise<readonly Keyring[]> =>
  await Promise.all(
    Array.from({ length: count }, async (_, index) => (await begun([fakeSeal()], `stranger ${index}`)).keyring),
  )
const forged = new KeyringError('KEYRING_AUTH_FAILED', 'forged')
const unproven = new KeyringError('KEYRING_ORIGIN_UNPROVEN', 'of anybody')

function offersOf(keyrings: readonly Keyring[]) {
  const offers = keyringOffers(() => undefined)
  for (const keyring of keyrings) offers.add(keyring)
  return offers
}

describe('what OpenBao has brought', () => {
  it('has each keyring once, the newest first', () => {
    const [newest, older] = forgeries(2)
    const offers = offersOf([ours, ours, older ?? ours, newest ?? ours])
    expect(offers.list()).toEqual([newest, older, ours])
  })

  it('has the newest of each cluster before the second of any', async () => {
    const [stranger] = await strangers(1)
    const [forgery] = forgeries(1)
    expect(offersOf([ours, forgery ?? ours, stranger ?? ours]).list()).toEqual([forgery, stranger, ours])
  })

  it('lists at most eight, and takes no ninth of a cluster before one of them did not open', () => {
    const many = forgeries(8)
    const offers = offersOf([...many, ours])
    expect(offers.list()).toEqual(many)
    offers.failed(many[3] ?? ours, unproven)
    offers.add(ours)
    expect(offers.list()).toEqual([...many.filter(each => each !== many[3]), ours])
  })

  it('takes a ninth cluster once nothing of another one opened', async () => {
    const many = await strangers(8)
    const offers = offersOf([...many, ours])
    expect(offers.list()).not.toContain(ours)
    offers.failed(many[0] ?? ours, unproven)
    offers.add(ours)
    expect(offers.list()).toEqual([...many.slice(1), ours])
  })

  it('does not take again what is forged, and takes again what failed for another reason', () => {
    const offers = offersOf([ours])
    offers.failed(ours, unproven)
    expect(offers.list()).toEqual([ours])
    offers.failed(ours, forged)
    offers.add(ours)
    expect(offers.list()).toEqual([])
  })

  it('puts what did not open last', () => {
    const [newer] = forgeries(1)
    const offers = offersOf([newer ?? ours, ours])
    offers.failed(newer ?? ours, unproven)
    expect(offers.list()).toEqual([ours, newer])
  })

  it('begins anew when it is told to', () => {
    const offers = offersOf([ours])
    offers.failed(ours, forged)
    offers.clear()
    offers.add(ours)
    expect(offers.list()).toEqual([ours])
  })

  it('keeps no more bytes than a bound: what is too much comes in once another did not open', async () => {
    const clusters = (await strangers(3)).map(keyring =>
      Array.from({ length: 8 }, (_, index) => large(keyring, index + 1)),
    )
    const offers = offersOf(clusters.flat())
    const last = large(ours, 1)
    offers.add(last)
    expect(offers.list()).not.toContain(last)
    const [first] = offers.list()
    offers.failed(first ?? ours, unproven)
    offers.add(last)
    expect(offers.list()).toContain(last)
  })
})

/** Of nearly the most bytes that a keyring may have. */
function large(keyring: Keyring, revision: number): Keyring {
  const [member] = keyring.members
  if (member === undefined) throw new Error('no member')
  const more = Array.from({ length: 60 }, (_, index) => ({
    ...member,
    memberId: Uint8Array.from({ length: 16 }, () => index + 1),
    data: new Uint8Array(8_000),
  }))
  const members = [member, ...more].sort((one, other) => Buffer.compare(one.memberId, other.memberId))
  return { ...keyring, revision, members }
}
