import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { Secret } from '@sealwright/secret'
import { countInMemory, withNodeProgram } from '@sealwright/testing-rig'
import { toHex } from '@sealwright/testing-vectors'

import { encodeKeyring } from './codec.ts'
import { createKeyring } from './create-keyring.ts'
import { fakeMember } from './testing/fake-member.ts'
import { recordFor, surroundings } from './testing/samples.ts'

/** Sealed means masked here, so that nothing in the other process holds the plain bytes before they are unsealed. */
const MASK = 0x5a
const masked = (bytes: Uint8Array) => bytes.map(byte => byte ^ MASK)

/** Opens a keyring in a Node of its own, shows that it works, and stays until its input ends. */
const source = `
  import { decodeKeyring, openKeyring } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
  import { Secret } from '@sealwright/secret'

  const [keyringHex, mode] = process.argv.slice(1)
  const keyring = decodeKeyring(Buffer.from(keyringHex, 'hex'))
  const [{ sealId, memberId }] = keyring.members
  const kept = []
  const unsealKek = async sealedKek => {
    const kek = new Secret(sealedKek.map(byte => byte ^ ${MASK}))
    if (mode === 'keep') kept.push(kek.clone())
    return kek
  }
  const open = await openKeyring({ keyring, sealId, member: { memberId, unsealKek }, signal: new AbortController().signal })
  console.log(open.keyId)
  process.stdin.on('data', () => kept).on('end', () => open.close())
`

/** Counts seal key and KEK in the memory of a process that has opened a keyring. */
async function countAfterOpening(mode: 'keep' | 'wipe'): Promise<{ readonly sealKey: number; readonly kek: number }> {
  const sealKey = randomBytes(32)
  let kek: Uint8Array = new Uint8Array()
  const member = {
    ...fakeMember('masking'),
    sealKek: (secret: Secret) => {
      kek = secret.reveal(bytes => Uint8Array.from(bytes))
      return Promise.resolve(masked(kek))
    },
  }
  const secret = new Secret(Uint8Array.from(sealKey))
  const keyring = await createKeyring({ ...recordFor(member), ...surroundings, sealKey: secret })
  const args = [toHex(encodeKeyring(keyring)), mode]
  return await withNodeProgram({ source, args, workingDirectory: import.meta.dirname }, ({ pid, line }) => {
    expect(line).toBe(keyring.generations[0]?.keyId)
    const [sealKeys = -1, keks = -1] = countInMemory(pid, [sealKey, kek])
    return { sealKey: sealKeys, kek: keks }
  })
}

describe('the memory of a process that has opened a keyring', () => {
  it('holds neither the seal key nor the KEK', async () => {
    expect(await countAfterOpening('wipe')).toEqual({ sealKey: 0, kek: 0 })
  })

  it('would show them: a KEK that is kept is found', async () => {
    const { kek } = await countAfterOpening('keep')
    expect(kek).toBeGreaterThan(0)
  })
})
