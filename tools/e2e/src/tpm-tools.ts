import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { SEARCH_PATH, type Swtpm } from '@sealwright/testing-rig'

const run = promisify(execFile)
const TIMEOUT_MS = 20_000

/** Runs one of tpm2-tools beside the agent, as an operator would, and returns what it prints. */
export async function tpm2(tpm: Swtpm, tool: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(`tpm2_${tool}`, ['-T', `swtpm:path=${tpm.socketPath}`, ...args], {
    env: { PATH: SEARCH_PATH },
    timeout: TIMEOUT_MS,
  })
  return stdout
}

/** How many failed authorisations the TPM itself counts at present (TPM_PT_LOCKOUT_COUNTER). */
export async function lockoutCounter(tpm: Swtpm): Promise<number> {
  const properties = await tpm2(tpm, 'getcap', 'properties-variable')
  const [, counter] = /^TPM2_PT_LOCKOUT_COUNTER: (0x[0-9A-F]+)$/im.exec(properties) ?? []
  if (counter === undefined) throw new Error(`tpm2_getcap tells no lockout counter:\n${properties}`)
  return Number(counter)
}

/** Whether the TPM refuses every PIN for now (TPMA_PERMANENT_inLockout). */
export async function isInLockout(tpm: Swtpm): Promise<boolean> {
  const properties = await tpm2(tpm, 'getcap', 'properties-variable')
  return /^\s*inLockout:\s+1$/m.test(properties)
}

/** The operator resets the counter, and the lockout if there is one. */
export async function clearLockout(tpm: Swtpm): Promise<void> {
  await tpm2(tpm, 'dictionarylockout', '--clear-lockout')
}

/** Changes a PCR, as whatever boots does that was not measured there before. It holds until the next power cycle. */
export async function extendPcr(tpm: Swtpm, pcr: number): Promise<void> {
  await tpm2(tpm, 'pcrextend', `${pcr}:sha256=${'5e'.repeat(32)}`)
}
