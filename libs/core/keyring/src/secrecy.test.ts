import { format, inspect } from 'node:util'

import { encodeKeyring } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { fakeMember } from './testing/fake-member.ts'
import { begun, opened, rotated, sealKeyNamed } from './testing/samples.ts'

const member = fakeMember('a')

/** Every way in which the seal key could show up. */
const spellings = sealKeyNamed('k').reveal(bytes => [
  Buffer.from(bytes).toString('hex'),
  Buffer.from(bytes).toString('base64'),
  Buffer.from(bytes).toString('latin1'),
  Array.from(bytes).join(','),
  Array.from(bytes).join(', '),
  Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' '),
])

function prints(value: unknown): readonly string[] {
  return [
    inspect(value, { showHidden: true, depth: null, maxArrayLength: null, customInspect: false }),
    inspect(value, { showHidden: true, depth: null, maxArrayLength: null, getters: true }),
    format('%s %o %O %j', value, value, value, value),
    JSON.stringify(value),
  ]
}

describe('no type of this library shows a seal key', () => {
  it('printed, inspected or serialised', async () => {
    const { keyring, sealKeys } = rotated(await begun(member))
    const open = await opened(keyring, member)
    const error = new KeyringError('KEYRING_OTHER_KEY', 'text', { cause: { sealKeys, open } })
    for (const value of [keyring, sealKeys, open, error, { nested: [sealKeys, open] }]) {
      for (const printed of prints(value)) for (const spelling of spellings) expect(printed).not.toContain(spelling)
    }
  })

  it('in its encoding', async () => {
    const encoded = Buffer.from(encodeKeyring(rotated(await begun(member)).keyring))
    for (const spelling of spellings.slice(0, 3)) {
      expect([encoded.toString('hex'), encoded.toString('latin1')].join()).not.toContain(spelling)
    }
  })
})
