import { createPrivateKey, type KeyObject } from 'node:crypto'
import { hex } from '@sealwright/bytes'
import { createPoliciesFile, readPoliciesFile } from '@sealwright/node-seals'
import { signPolicy } from '@sealwright/pcr-policies'
import { readSecretFile } from '@sealwright/program'
import { type Secret } from '@sealwright/secret'
import { type CommandResult } from '../command.ts'
import { table } from '../render/plain.ts'
import { TpmCommandError } from './errors.ts'
import { forgeableNote } from './forgeable-note.ts'

/** What signing needs. */
export interface SignInput {
  readonly path: string
  readonly keyPath: string
  /** Where the signed policies are written; nothing may be there. */
  readonly outPath: string
  /** Gives the passphrase of the key; called only if it has one. The secret becomes ours. */
  readonly askPassphrase: () => Promise<Secret>
}

/**
 * Signs what is predicted in a file of policies, on the machine that has the private key. Needs neither a TPM nor the node.
 *
 * @throws {@link TpmCommandError} `TPM_COMMAND_KEY_UNUSABLE`, `TPM_COMMAND_NOTHING_TO_SIGN`; {PcrPoliciesError}, {ProgramError},
 *   {SignedPolicyError}.
 */
export async function sign({ path, keyPath, outPath, askPassphrase }: SignInput): Promise<CommandResult> {
  const policies = await readPoliciesFile(path)
  if (!policies.some(({ state }) => state === 'predicted')) {
    throw new TpmCommandError('TPM_COMMAND_NOTHING_TO_SIGN', `${path} holds no policy that is not signed yet`)
  }
  const key = await readSigningKey(keyPath, askPassphrase)
  const signed = policies.map(policy => (policy.state === 'signed' ? policy : signPolicy(policy, key)))
  await createPoliciesFile(outPath, signed)
  const shown = policies
    .filter(({ state }) => state === 'predicted')
    .map(({ label, reference, values }) => ({
      label,
      reference,
      pcrs: values.map(({ index, value }) => ({ pcr: index, sha256: hex(value) })),
    }))
  return {
    text:
      table([
        ['SIGNED', 'REFERENCE', 'PCR', 'SHA-256'],
        ...shown.flatMap(({ label, reference, pcrs }) =>
          pcrs.map(({ pcr, sha256 }) => [label, reference, String(pcr), sha256]),
        ),
      ]) +
      `\n${outPath}: bring it to the node and run there: sealctl tpm add ${outPath} --seal NAME\n${forgeableNote(signed)}`,
    json: { file: outPath, signed: shown },
  }
}

async function readSigningKey(path: string, askPassphrase: () => Promise<Secret>): Promise<KeyObject> {
  using pem = await readSecretFile(path)
  const isEncrypted = pem.reveal(bytes =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('ENCRYPTED'),
  )
  if (!isEncrypted) return parseKey(path, pem, undefined)
  using passphrase = await askPassphrase()
  return parseKey(path, pem, passphrase)
}

function parseKey(path: string, pem: Secret, passphrase: Secret | undefined): KeyObject {
  try {
    return pem.reveal(key => {
      const asBuffer = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
      if (passphrase === undefined) return createPrivateKey({ key: asBuffer, format: 'pem' })
      return passphrase.reveal(bytes =>
        createPrivateKey({
          key: asBuffer,
          format: 'pem',
          passphrase: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        }),
      )
    })
  } catch (cause) {
    throw new TpmCommandError(
      'TPM_COMMAND_KEY_UNUSABLE',
      `${path} holds no private key in PEM${passphrase === undefined ? '' : ', or the passphrase is wrong'}`,
      { cause },
    )
  }
}
