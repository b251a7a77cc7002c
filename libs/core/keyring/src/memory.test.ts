import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { Secret } from '@sealwright/secret'
import { countInMemory, withNodeProgram } from '@sealwright/testing-rig'
import { fromHex, toHex } from '@sealwright/testing-vectors'

import { decodeKeyring, encodeKeyring } from './codec.ts'
import { addGeneration } from './add-generation.ts'
import { createKeyring } from './create-keyring.ts'
import { deriveAuditKey, deriveBlobKey, deriveKmsKey, deriveLinkKey, deriveSigningKey } from './key-schedule.ts'
import { type Keyring } from './keyring.ts'
import { makeKmsKeyId } from './kms-key-id.ts'
import { matchSealKey } from './seal-keys.ts'
import { fakeMember } from './testing/fake-member.ts'
import { activated, recordFor, surroundings } from './testing/samples.ts'

/** Sealed means masked here, so that nothing in the other process holds the plain bytes before they are unsealed. */
const MASK = 0x5a
const masked = (bytes: Uint8Array) => bytes.map(byte => byte ^ MASK)

/**
 * What the programs below begin with: the keyring, a member that unmasks, and whatever it is to keep against the rules.
 *
 * They collect garbage before they are looked at: OpenSSL clears a private signing key when it is collected, and nobody can
 * make it do so before.
 */
const preamble = `
  import { addGeneration, decodeKeyring, encodeKeyring, openKeyring, openKmsKeyring, unwrapSealKeys } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
  import { Secret } from '@sealwright/secret'
  import { randomBytes } from 'node:crypto'
  import { setFlagsFromString } from 'node:v8'
  import { runInNewContext } from 'node:vm'

  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const collectGarbage = async () => {
    gc()
    await new Promise(resolve => setImmediate(resolve))
    gc()
  }
  const [keyringHex, mode] = process.argv.slice(1)
  const keyring = decodeKeyring(Buffer.from(keyringHex, 'hex'))
  const [{ sealId, memberId }] = keyring.members
  const { signal } = new AbortController()
  const kept = []
  const keep = secret => mode === 'keep' && kept.push(secret.clone())
  const unsealKek = async sealedKek => {
    const kek = new Secret(sealedKek.map(byte => byte ^ ${MASK}))
    keep(kek)
    return kek
  }
  const member = { memberId, unsealKek }
`

/** Opens the keyring in a Node of its own, shows that it works, and stays until its input ends. */
const opening = `${preamble}
  const open = await openKeyring({ keyring, sealId, member, signal }, { opensStaticBlobs: mode === 'static' })
  await collectGarbage()
  console.log(open.keyId)
  process.stdin.on('data', () => kept).on('end', () => open.close())
`

/** Opens the keyring of a KMS plugin, and stays with its keys. */
const openingForKms = `${preamble}
  const open = await openKmsKeyring({ keyring, sealId, member, signal })
  await collectGarbage()
  console.log(String(open.generations.length))
  process.stdin.on('data', () => kept).on('end', () => open.generations.length)
`

/** Rotates, shows the keyring, and stays. */
const rotating = `${preamble}
  const sealKeys = await unwrapSealKeys({ keyring, sealId, member, signal })
  const added = addGeneration({ keyring, sealKeys, step: 'chained', randomBytes })
  for (const { id } of keyring.generations) keep(sealKeys.of(id))
  keep(added.sealKey)
  added.sealKey.wipe()
  sealKeys.wipe()
  await collectGarbage()
  console.log(Buffer.from(encodeKeyring(added.keyring)).toString('hex'))
  process.stdin.on('data', () => kept)
`

interface Sample {
  readonly keyring: Keyring
  readonly sealKey: Uint8Array
  /** The KEK of the only record. */
  readonly kek: Uint8Array
}

/** Two generations, joined by a link, which one record opens. */
async function sample(nextKeyId?: () => string): Promise<Sample> {
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
  const keyring = await createKeyring({ ...recordFor(member), ...surroundings, sealKey: secret, keyId: nextKeyId?.() })
  const sealKeys = matchSealKey({ keyring, sealKey: secret })
  const added = addGeneration({ keyring, sealKeys, step: 'chained', keyId: nextKeyId?.(), randomBytes })
  const held = { keyring: added.keyring, sealKeys: sealKeys.with(added.generation.id, added.sealKey) }
  return { keyring: activated(held, added.generation).keyring, sealKey, kek }
}

/** Every key that follows from a seal key up to the last generation, and that nobody needs any more. */
function keysOf(keyring: Keyring, sealKey: Uint8Array): readonly Uint8Array[] {
  const sealKeys = matchSealKey({ keyring, sealKey: new Secret(Uint8Array.from(sealKey)) })
  return keyring.generations.flatMap(({ id }) => {
    const key = sealKeys.of(id)
    // The last 32 bytes of RFC 8410's PKCS#8 are the seed.
    const signingKey = deriveSigningKey(key).export({ format: 'der', type: 'pkcs8' }).subarray(-32)
    const linkKey = deriveLinkKey(key, keyring.clusterId)
    return [key, linkKey].map(secret => secret.reveal(bytes => Uint8Array.from(bytes))).concat(signingKey)
  })
}

/** How often each key stands in the memory of a process that has run the program. */
async function count(
  source: string,
  { keyring, kek, sealKey }: Sample,
  mode: 'keep' | 'wipe' | 'static',
): Promise<readonly number[]> {
  const args = [toHex(encodeKeyring(keyring)), mode]
  return await withNodeProgram({ source, args, workingDirectory: import.meta.dirname }, ({ pid, line }) => {
    const last = source === rotating ? decodeKeyring(fromHex(line)) : keyring
    if (source === opening) expect(line).toBe(keyring.generations[1]?.keyId)
    return countInMemory(pid, [kek, ...keysOf(last, sealKey)])
  })
}

describe('the memory of a process, once the engine has collected what is unused', () => {
  it('that has opened a keyring holds no KEK, no seal key, no signing key and no link key', async () => {
    expect(await count(opening, await sample(), 'wipe')).toEqual(new Array(7).fill(0))
  })

  it('that has opened the keyring of a KMS plugin holds its KMS keys, and nothing that serves OpenBao', async () => {
    const { keyring, ...rest } = await sample(() => makeKmsKeyId({ notBeforeMs: 0, randomBytes }))
    const args = [toHex(encodeKeyring(keyring)), 'wipe']
    const sealKeys = matchSealKey({ keyring, sealKey: new Secret(Uint8Array.from(rest.sealKey)) })
    const subkeys = [deriveKmsKey, deriveBlobKey, deriveAuditKey].flatMap(derive =>
      keyring.generations.map(({ id }) => Uint8Array.from(derive(sealKeys.of(id), keyring.clusterId).export())),
    )
    const wanted = [...subkeys, rest.kek, ...keysOf(keyring, rest.sealKey)]
    const source = openingForKms
    const found = await withNodeProgram({ source, args, workingDirectory: import.meta.dirname }, ({ pid, line }) => {
      expect(line).toBe('2')
      return countInMemory(pid, wanted)
    })
    const [first = 0, second = 0, ...others] = found
    expect([first > 0, second > 0]).toEqual([true, true])
    expect(others).toEqual(new Array(11).fill(0))
  })

  it('that is to open static blobs holds the first seal key, which they name, and no other', async () => {
    const [kek, first = 0, link, signing, ...later] = await count(opening, await sample(), 'static')
    expect(first).toBe(1)
    expect([kek, link, signing, ...later]).toEqual(new Array(6).fill(0))
  })

  it('that has rotated holds none either', async () => {
    expect(await count(rotating, await sample(), 'wipe')).toEqual(new Array(10).fill(0))
  })

  it('would show them: a KEK and seal keys that are kept are found', async () => {
    const [openKek = 0] = await count(opening, await sample(), 'keep')
    expect(openKek).toBeGreaterThan(0)
    const [kek = 0, first = 0, , , second = 0, , , third = 0] = await count(rotating, await sample(), 'keep')
    expect([kek, first, second, third].every(found => found > 0)).toBe(true)
  })
})
