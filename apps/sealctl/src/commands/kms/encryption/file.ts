import { open } from 'node:fs/promises'
import { errorCodeOf } from '@sealwright/system-error'
import * as v from 'valibot'
import { type Document, isAlias, parseDocument, visit } from 'yaml'
import { SealctlError } from '../../../errors.ts'
import { KmsCommandError } from '../errors.ts'
import { type EncryptionProvider, type EncryptionRule, problemOfRules } from './rules.ts'

const MAX_BYTES = 1_048_576

/** Kubernetes' own: what is used is checked, the rest is its business. */
const kms = v.looseObject({
  apiVersion: v.optional(v.string(), 'v1'),
  name: v.string(),
  endpoint: v.string(),
  timeout: v.optional(v.string()),
})
const provider = v.union([
  v.strictObject({ kms }),
  v.strictObject({ aescbc: v.unknown() }),
  v.strictObject({ aesgcm: v.unknown() }),
  v.strictObject({ secretbox: v.unknown() }),
  v.strictObject({ identity: v.unknown() }),
])
const configuration = v.object({
  kind: v.literal('EncryptionConfiguration'),
  apiVersion: v.pipe(v.string(), v.startsWith('apiserver.config.k8s.io/')),
  resources: v.array(v.object({ resources: v.array(v.string()), providers: v.array(provider) })),
})

/** An `EncryptionConfiguration` that was read. */
export interface EncryptionFile {
  /**
   * The whole file, as it can be written anew. It may hold keys of other providers, as strings, which cannot be wiped: the YAML library has
   * no other form. Keep it for as long as one change takes, and never print it.
   */
  readonly document: Document
  /** What it says, without any key. */
  readonly rules: readonly EncryptionRule[]
}

/**
 * Reads an `EncryptionConfiguration`. No error quotes it.
 *
 * @throws {SealctlError} `SEALCTL_INPUT_UNREADABLE`; {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`.
 */
export async function readEncryptionFile(path: string): Promise<EncryptionFile> {
  const bytes = await readBytes(path)
  try {
    return parseEncryptionFile(bytes.toString('utf8'), path)
  } finally {
    bytes.fill(0)
  }
}

/** @throws {@link KmsCommandError} `KMS_COMMAND_ENCRYPTION_CONFIG`. */
export function parseEncryptionFile(text: string, path: string): EncryptionFile {
  const document = parseDocument(text, { prettyErrors: false, logLevel: 'error' })
  if (document.errors.length > 0) throw unusable(path, 'it is no YAML, or more than one document')
  visit(document, {
    Node: (_key, node) => {
      if (isAlias(node)) throw unusable(path, 'it has aliases (*name): write them out first')
    },
  })
  const parsed = v.safeParse(configuration, document.toJS())
  // Where it is, and no more: the words for what is wrong with it may quote a key.
  if (!parsed.success) throw unusable(path, `${v.getDotPath(parsed.issues[0]) ?? 'its form'} is not as it should be`)
  const rules = parsed.output.resources.map(({ resources, providers }) => ({
    resources,
    providers: providers.map(viewOf),
  }))
  const problem = problemOfRules(rules)
  if (problem !== undefined) throw unusable(path, `kube-apiserver refuses it: ${problem}`)
  return { document, rules }
}

function viewOf(found: v.InferOutput<typeof provider>): EncryptionProvider {
  if ('kms' in found) {
    const { name, endpoint, apiVersion, timeout } = found.kms
    return { kind: 'kms', name, endpoint, apiVersion, timeout }
  }
  if ('aescbc' in found) return { kind: 'aescbc' }
  if ('aesgcm' in found) return { kind: 'aesgcm' }
  return 'secretbox' in found ? { kind: 'secretbox' } : { kind: 'identity' }
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    if (size <= MAX_BYTES) return await file.readFile()
  } catch (cause) {
    throw new SealctlError('SEALCTL_INPUT_UNREADABLE', `cannot read ${path} (${errorCodeOf(cause) ?? 'no code'})`, {
      cause,
    })
  }
  throw unusable(path, 'it is too long')
}

function unusable(path: string, what: string): KmsCommandError {
  return new KmsCommandError('KMS_COMMAND_ENCRYPTION_CONFIG', `${path}: ${what}`)
}
