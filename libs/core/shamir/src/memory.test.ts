import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { countInMemory, withNodeProgram } from '@sealwright/testing-rig'
import { fromHex, toHex } from '@sealwright/testing-vectors'

import { createShareSet } from './create-share-set.ts'
import { shamirRemoteMember } from './seal-member.ts'
import { encodeShare } from './share-text.ts'
import { bytesOf, idOf, secretOf, signal } from './testing/samples.ts'

/** What the other process is given is masked, so that nothing there holds the plain bytes before they are used. */
const MASK = 0x5a
const masked = (bytes: Uint8Array) => toHex(bytes.map(byte => byte ^ MASK))

/**
 * What the programs below begin with: shares as they are typed, and whatever they are to keep against the rules.
 *
 * They collect garbage before they are looked at: OpenSSL clears a private key when it is collected, and nobody can make it do
 * so before.
 */
const preamble = `
  import * as shamir from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
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
  const hex = text => new Uint8Array(Buffer.from(text, 'hex'))
  const input = JSON.parse(process.argv[1])
  const kept = []
  const keep = secret => input.mode === 'keep' && kept.push(secret.clone())
  const unmasked = text => {
    const bytes = new Uint8Array(new ArrayBuffer(text.length / 2))
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16) ^ ${MASK}
    return bytes
  }
  const typed = () => input.texts.map(text => {
    const bytes = unmasked(text)
    const share = shamir.parseShare(bytes)
    bytes.fill(0)
    keep(share.value)
    return share
  })
  const set = shamir.readShareSet({ clusterId: hex(input.clusterId), member: {
    sealId: hex(input.clusterId), memberId: hex(input.memberId), wrappingKey: hex(input.wrappingKey), data: hex(input.data),
  } })
  const done = async line => {
    if (input.mode !== 'uncollected') await collectGarbage()
    console.log(line)
    process.stdin.on('data', () => kept).on('end', () => process.exit())
  }
`

/** Collects shares, opens a sealed KEK, wipes all, and stays. */
const opening = `${preamble}
  const run = async () => {
    let ceremony = shamir.beginCeremony({ set, nonce: 'n' })
    for (const share of typed()) ceremony = shamir.next(ceremony, { kind: 'share', nonce: 'n', share })
    const { privateKey } = ceremony
    keep(privateKey)
    const member = shamir.shamirSealMember({ privateKey })
    const { signal } = new AbortController()
    const kek = await member.unsealKek(hex(input.sealedKek), { signal, method: 'shamir-hybrid' })
    keep(kek)
    kek.wipe()
    privateKey.wipe()
    return ceremony.kind
  }
  await done(await run())
`

/** Rehearses, and stays. */
const rehearsing = `${preamble}
  await done(shamir.rehearse({ set, shares: typed() }).outcome.kind)
`

/** Makes a share set, writes its shares, wipes all, and shows, masked, the random bytes it drew and the values of the shares. */
const creating = `${preamble}
  const shown = []
  const show = bytes => shown.push(Buffer.from(bytes.map(byte => byte ^ ${MASK})).toString('hex'))
  const run = () => {
    const created = shamir.createShareSet({ clusterId: hex(input.clusterId), threshold: 3, shares: 5, randomBytes: length => {
      const drawn = randomBytes(length)
      show(drawn)
      return drawn
    } })
    for (const share of created.shares) {
      shamir.encodeShare(share).wipe()
      share.value.reveal(show)
      keep(share.value)
      share.value.wipe()
    }
  }
  run()
  await done(JSON.stringify([...shown.slice(0, 2), ...shown.slice(-5)]))
`

interface Sample {
  /** What the program is given. */
  readonly input: Readonly<Record<string, unknown>>
  /** What it must not keep, by name. */
  readonly needles: Readonly<Record<string, Uint8Array>>
}

async function sample(): Promise<Sample> {
  const [seed, kek] = [randomBytes(32), randomBytes(32)]
  const given = [Uint8Array.from(seed)]
  const { shares, memberId, wrappingKey, data } = createShareSet({
    clusterId: idOf('cluster'),
    threshold: 3,
    shares: 5,
    randomBytes: length => given.shift() ?? randomBytes(length),
  })
  const sealedKek = await shamirRemoteMember({ wrappingKey, memberId }).sealKek(secretOf(kek), { signal })
  const texts = shares.map(share => bytesOf(encodeShare(share)))
  return {
    input: {
      clusterId: toHex(idOf('cluster')),
      memberId: toHex(memberId),
      wrappingKey: toHex(wrappingKey),
      data: toHex(data),
      sealedKek: toHex(sealedKek),
      texts: texts.slice(0, 3).map(masked),
    },
    needles: {
      seed,
      ...partsOf(seed),
      kek,
      ...Object.fromEntries(shares.map(({ index, value }) => [`share ${index}`, bytesOf(value)])),
      ...Object.fromEntries(texts.map((text, position) => [`text ${position + 1}`, text.subarray(100, 128)])),
    },
  }
}

/** The names of what stands in the memory of a process that has run the program. */
async function found(
  source: string,
  { input, needles }: Sample,
  mode: 'keep' | 'wipe' | 'uncollected',
): Promise<readonly string[]> {
  const args = [JSON.stringify({ ...input, mode })]
  return await withNodeProgram({ source, args, workingDirectory: import.meta.dirname }, ({ pid, line }) => {
    const sought = source === creating ? drawnNeedles(line) : needles
    if (source !== creating) expect(line).toBe(source === opening ? 'complete' : 'proven')
    const counts = countInMemory(pid, Object.values(sought))
    return Object.keys(sought).filter((_name, position) => (counts[position] ?? 0) > 0)
  })
}

/** From what the program shows: the seed, the coefficients, the values of the shares. */
function drawnNeedles(line: string): Readonly<Record<string, Uint8Array>> {
  const [seed = '', coefficients = '', ...values] = JSON.parse(line) as readonly string[]
  const bare = (text: string) => fromHex(text).map(byte => byte ^ MASK)
  return {
    seed: bare(seed),
    ...partsOf(bare(seed)),
    'first coefficients': bare(coefficients).subarray(0, 32),
    'second coefficients': bare(coefficients).subarray(32),
    ...Object.fromEntries(values.map((value, position) => [`share ${position + 1}`, bare(value)])),
  }
}

/** draft-connolly-cfrg-xwing-kem §5.2: the two halves of the private key, the first one in two parts. */
function partsOf(seed: Uint8Array): Readonly<Record<string, Uint8Array>> {
  const expanded = createHash('shake256', { outputLength: 96 }).update(seed).digest()
  return { d: expanded.subarray(0, 32), z: expanded.subarray(32, 64), x25519: expanded.subarray(64) }
}

const SHARES = ['share 1', 'share 2', 'share 3', 'share 4', 'share 5']

describe('the memory of a process, once the engine has collected what is unused', () => {
  it('that has opened a KEK by shares holds no share, no seed, nothing that follows from it, and no KEK', async () => {
    expect(await found(opening, await sample(), 'wipe')).toEqual([])
  })

  it('that has rehearsed holds none either', async () => {
    expect(await found(rehearsing, await sample(), 'wipe')).toEqual([])
  })

  it('that has made a share set holds none either', async () => {
    expect(await found(creating, await sample(), 'wipe')).toEqual([])
  })

  it('holds nothing before that but the expanded private key, in the key objects of OpenSSL', async () => {
    for (const source of [opening, rehearsing, creating]) {
      const names = await found(source, await sample(), 'uncollected')
      expect(names.filter(name => !['d', 'z', 'x25519'].includes(name))).toEqual([])
    }
  })

  it('would show them: what is kept is found', async () => {
    expect(await found(opening, await sample(), 'keep')).toEqual(['seed', 'kek', ...SHARES.slice(0, 3)])
    expect(await found(creating, await sample(), 'keep')).toEqual(SHARES)
  })
})
