import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Secret } from '@sealwright/secret'
import { SEARCH_PATH, startSwtpm, temporaryFolder, type Swtpm, type TemporaryFolder } from '@sealwright/testing-rig'
import { readTpmIdentity, type TpmAccess, tpmSealMember } from '@sealwright/tpm'
import { type FigureReport, median, rounded } from './figure.ts'

const run = promisify(execFile)

/** Both sides are measured warm: ours runs compiled after some hundred rounds, theirs from the page cache after the first. */
const OUR_WARM_UP_ROUNDS = 300
const WARM_UP_ROUNDS = 3
const TIMES_FASTER_TARGET = 25
const KEK_BYTES = 32

/** Attributes of the H-2 storage key, so that both sides derive the same key. */
const STORAGE_KEY_ATTRIBUTES = 'restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'

/**
 * `tpm.unseal`: create-primary, load and unseal with an encrypted, salted session; ours against tpm2-tools on one TPM, in turns.
 */
export async function benchTpm(rounds: number): Promise<readonly FigureReport[]> {
  await using folder = await temporaryFolder()
  const tpm = await startSwtpm({ directory: folder.path })
  try {
    const ours = await prepareOurs(tpm)
    const theirs = await prepareTpm2Tools(tpm, folder)
    for (let round = 0; round < OUR_WARM_UP_ROUNDS; round++) await ours()
    const oursMs: number[] = []
    const theirsMs: number[] = []
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      const [ourMs, theirMs] = [await ours(), await theirs()]
      if (round < 0) continue
      oursMs.push(ourMs)
      theirsMs.push(theirMs)
    }
    const value = rounded(median(oursMs))
    const reference = rounded(median(theirsMs))
    const ratio = rounded(reference / value)
    return [
      {
        name: 'tpm.unseal',
        figure: { value, unit: 'ms', reference, ratio },
        meaning:
          'create-primary + load + unseal, salted session, against tpm2-tools on the same swtpm; ratio = times faster',
        target: `≥ ${TIMES_FASTER_TARGET}`,
        met: ratio >= TIMES_FASTER_TARGET,
      },
    ]
  } finally {
    await tpm.stop()
  }
}

/** One measured round; resolves with its duration in milliseconds. */
type Round = () => Promise<number>

async function prepareOurs(tpm: Swtpm): Promise<Round> {
  const access: TpmAccess = { transport: { kind: 'unix', path: tpm.socketPath }, timeoutMs: 30_000, randomBytes }
  const { signal } = new AbortController()
  const member = tpmSealMember({ ...access, expected: await readTpmIdentity(access), policy: { kind: 'none' } })
  const kek = new Secret(new Uint8Array(randomBytes(KEK_BYTES)))
  const sealed = await member.sealKek(kek, { signal })
  return async () => {
    const startedAtMs = performance.now()
    const opened = await member.unsealKek(sealed, { signal, method: 'tpm-sealed' })
    const tookMs = performance.now() - startedAtMs
    if (!opened.equals(kek)) throw new Error('our client opened something else')
    opened.wipe()
    return tookMs
  }
}

/**
 * The same with tpm2-tools: eight processes a round, two flushes among them, without which a TPM of three slots has none left.
 * Ours is measured with its flushes too. What is flushed only to tidy up between rounds is not counted.
 */
async function prepareTpm2Tools(tpm: Swtpm, folder: TemporaryFolder): Promise<Round> {
  const env = { PATH: SEARCH_PATH, TPM2TOOLS_TCTI: `swtpm:path=${tpm.socketPath}` }
  let countedMs = 0
  const tool = async (name: string, ...args: readonly string[]): Promise<string> => {
    const startedAtMs = performance.now()
    const { stdout } = await run(`tpm2_${name}`, args, { env, cwd: folder.path, encoding: 'latin1' })
    countedMs += performance.now() - startedAtMs
    return stdout
  }
  const freeSlots = () => tool('flushcontext', '-t')
  const createPrimary = () =>
    tool(
      'createprimary',
      '-Q',
      '-C',
      'o',
      '-g',
      'sha256',
      '-G',
      'ecc256:aes128cfb',
      '-a',
      STORAGE_KEY_ATTRIBUTES,
      '-c',
      'primary.ctx',
    )
  const secret = randomBytes(KEK_BYTES)
  await writeFile(folder.join('secret'), secret, { mode: 0o600 })
  await createPrimary()
  await freeSlots()
  await tool('create', '-Q', '-C', 'primary.ctx', '-i', 'secret', '-u', 'sealed.pub', '-r', 'sealed.priv')
  await freeSlots()
  return async () => {
    countedMs = 0
    await createPrimary()
    await freeSlots()
    await tool('startauthsession', '--hmac-session', '--tpmkey-context', 'primary.ctx', '-S', 'session.ctx')
    await tool('sessionconfig', 'session.ctx', '--enable-decrypt', '--enable-encrypt')
    await tool('load', '-Q', '-C', 'primary.ctx', '-u', 'sealed.pub', '-r', 'sealed.priv', '-c', 'sealed.ctx')
    await freeSlots()
    const opened = await tool('unseal', '-c', 'sealed.ctx', '-p', 'session:session.ctx')
    await tool('flushcontext', 'session.ctx')
    const tookMs = countedMs
    await freeSlots()
    if (opened !== secret.toString('latin1')) throw new Error('tpm2-tools opened something else')
    return tookMs
  }
}
