import { printsOf, spellingsOf } from '@sealwright/testing-checks'

import { encodeKeyring } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, opened, rotated, sealKeyNamed } from './testing/samples.ts'

const member = fakeMember('a')

const spellings = sealKeyNamed('k').reveal(spellingsOf)

describe('no type of this library shows a seal key', () => {
  it('printed, inspected or serialised', async () => {
    const { keyring, sealKeys } = rotated(await begun(member))
    const open = await opened(keyring, member)
    const error = new KeyringError('KEYRING_OTHER_KEY', 'text', { cause: { sealKeys, open } })
    for (const value of [keyring, sealKeys, open, error, { nested: [sealKeys, open] }]) {
      for (const printed of printsOf(value)) for (const spelling of spellings) expect(printed).not.toContain(spelling)
    }
  })

  it('in its encoding', async () => {
    const encoded = Buffer.from(encodeKeyring(rotated(await begun(member)).keyring))
    for (const spelling of spellings) {
      expect([encoded.toString('hex'), encoded.toString('latin1')].join()).not.toContain(spelling)
    }
  })
})
