import { Secret } from '@sealwright/secret'

import { hex } from '@sealwright/bytes'
import { type Keyring } from './keyring.ts'
import { currentGeneration } from './lineage.ts'
import { followSealKeys, SealKeys } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, broken, changed, codeNow, enrolled, heldBy, pending, rotated, unwrap } from './testing/samples.ts'

const [ours, theirs] = [fakeMember('ours'), fakeMember('theirs')]

/** Every secret that was looked at while `run` ran. */
function secretsSeenBy(run: () => unknown): readonly Secret[] {
  const reveal = jest.spyOn(Secret.prototype, 'reveal')
  try {
    run()
    return reveal.mock.contexts.filter(context => context instanceof Secret)
  } finally {
    reveal.mockRestore()
  }
}

function isWiped(secret: Secret): boolean {
  try {
    secret.reveal(bytes => bytes.byteLength)
    return false
  } catch (error) {
    if (error instanceof TypeError) return true
    throw error
  }
}

/** With a bit of the last link changed. */
function withSpoiltLink(keyring: Keyring): Keyring {
  const links = keyring.links.map((link, index) => {
    if (index < keyring.links.length - 1) return link
    const { wrappedKey } = link
    return { ...link, wrappedKey: wrappedKey.map((byte, at) => (at === wrappedKey.length - 1 ? byte ^ 1 : byte)) }
  })
  return { ...keyring, links }
}

describe('following another keyring', () => {
  it('takes along old generations that are held, too, and leaves what was given to the caller', async () => {
    const mine = rotated(await begun(ours))
    const far = rotated(await enrolled(mine, [theirs]))
    const sealKeys = await unwrap(mine.keyring, ours)
    const followed = followSealKeys({ keyring: far.keyring, sealKeys })
    expect(heldBy(far.keyring, followed)).toEqual(['1', '2', '3'])
    followed.wipe()
    expect(heldBy(mine.keyring, sealKeys)).toEqual(['1', '2'])
    expect(sealKeys.of(currentGeneration(mine.keyring).id).reveal(bytes => bytes.byteLength)).toBe(32)
  })

  it('reaches both of two siblings', async () => {
    const mine = await begun(ours)
    const [one, other] = [rotated(mine), rotated(mine)]
    const both = changed(
      {
        keyring: one.keyring,
        sealKeys: one.sealKeys.with(other.generation.id, other.sealKeys.of(other.generation.id)),
      },
      {
        generations: [...one.keyring.generations, other.generation].sort(
          (a, b) => a.number - b.number || Buffer.compare(a.id, b.id),
        ),
        links: [...one.keyring.links, ...other.keyring.links].sort((a, b) => Buffer.compare(a.toId, b.toId)),
      },
    )
    const followed = followSealKeys({ keyring: both.keyring, sealKeys: await unwrap(mine.keyring, ours) })
    expect(heldBy(both.keyring, followed)).toEqual(['1', '2a', '2b'])
  })

  it('stops at a link that was spoilt, and wipes all that it had reached', async () => {
    const mine = await begun(ours)
    const far = withSpoiltLink(rotated(rotated(rotated(mine))).keyring)
    const sealKeys = await unwrap(mine.keyring, ours)
    const seen = secretsSeenBy(() => codeNow(() => followSealKeys({ keyring: far, sealKeys })))
    expect(codeNow(() => followSealKeys({ keyring: far, sealKeys }))).toMatch(/^KEYRING_(LINK_BROKEN|AUTH_FAILED)$/)
    const given = mine.keyring.generations.map(({ id }) => sealKeys.of(id))
    expect(seen.filter(secret => !given.includes(secret)).every(isWiped)).toBe(true)
    expect(given.some(isWiped)).toBe(false)
  })

  it('wipes what it had reached when the MAC does not fit', async () => {
    const mine = await begun(ours)
    const far = { ...rotated(mine).keyring, revision: 99 }
    const sealKeys = await unwrap(mine.keyring, ours)
    const seen = secretsSeenBy(() => {
      expect(codeNow(() => followSealKeys({ keyring: far, sealKeys }))).toBe('KEYRING_AUTH_FAILED')
    })
    const given = mine.keyring.generations.map(({ id }) => sealKeys.of(id))
    expect(seen.filter(secret => !given.includes(secret)).every(isWiped)).toBe(true)
  })

  it('is not led over a break by a key that comes after it', async () => {
    const mine = await begun(ours)
    const left = await broken(await enrolled(mine, [theirs]), [theirs])
    const sealKeys = await unwrap(mine.keyring, ours)
    expect(codeNow(() => followSealKeys({ keyring: rotated(left).keyring, sealKeys }))).toBe('KEYRING_LINK_BROKEN')
  })

  it('does not take the word of a keyring that calls a generation active which is only handed out', async () => {
    const mine = await begun(ours)
    const { keyring } = pending(mine)
    const generations = keyring.generations.map(each => ({ ...each, state: 'active' as const }))
    const sealKeys = await unwrap(mine.keyring, ours)
    // The link is genuine, so the key is reached; the MAC of the keyring is that of the generation before.
    expect(codeNow(() => followSealKeys({ keyring: { ...keyring, generations }, sealKeys }))).toBe(
      'KEYRING_AUTH_FAILED',
    )
  })

  it('is not deceived by a key that is held under the id of a generation that it is not of', async () => {
    const mine = await begun(ours)
    const far = rotated(mine)
    const [first, second] = far.keyring.generations
    if (first === undefined || second === undefined) throw new Error('two generations were made')
    const misplaced = new SealKeys(
      new Map([first, second].map(({ id }) => [hex(id), mine.sealKeys.of(first.id).clone()])),
      true,
    )
    const followed = followSealKeys({ keyring: far.keyring, sealKeys: misplaced })
    // The wrong one is left out, and the right one is reached by the link.
    const isSame = followed
      .of(second.id)
      .reveal(key => far.sealKeys.of(second.id).reveal(expected => Buffer.compare(key, expected) === 0))
    expect(isSame).toBe(true)
  })
})
