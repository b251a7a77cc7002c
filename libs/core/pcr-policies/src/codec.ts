import { type PcrValue } from '@sealwright/tpm-wire'
import * as v from 'valibot'
import { PcrPoliciesError } from './errors.ts'
import { type PcrPolicy, policyDigestOf, predictPolicy } from './policy.ts'

/** Longest file, in bytes: 64 policies of all 24 PCRs take some 200,000. */
export const MAX_PCR_POLICIES_BYTES = 262_144
/** Most policies in one file. */
export const MAX_PCR_POLICIES = 64

const TYPE = 'sealwright pcr policies'
const VERSION = 1

const hexOf = (bytes: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`)))
const subjectFields = {
  label: v.string(),
  reference: v.string(),
  created: v.string(),
  pcrs: v.array(v.strictObject({ pcr: v.number(), sha256: hexOf(32) })),
  policy: hexOf(32),
}
const schema = v.strictObject({
  type: v.literal(TYPE),
  version: v.literal(VERSION),
  policies: v.array(
    v.variant('state', [
      v.strictObject({ state: v.literal('predicted'), ...subjectFields }),
      v.strictObject({ state: v.literal('signed'), ...subjectFields, signature: hexOf(64) }),
    ]),
  ),
})

type Entry = v.InferOutput<typeof schema>['policies'][number]

/**
 * Writes a policies file: the one spelling that {@link decodePcrPolicies} reads.
 *
 * @param policies - oldest first; their order is kept.
 * @throws {@link PcrPoliciesError} `PCR_POLICIES_TOO_LARGE`, `PCR_POLICIES_DUPLICATE`.
 * @see docs/formats/pcr-policies.md
 */
export function encodePcrPolicies(policies: readonly PcrPolicy[]): Uint8Array {
  assertCount(policies.length)
  assertNoDuplicates(policies)
  const file = { type: TYPE, version: VERSION, policies: policies.map(toEntry) }
  return new TextEncoder().encode(`${JSON.stringify(file, null, 2)}\n`)
}

/**
 * Reads a policies file. Says nothing about who signed what.
 *
 * @throws {@link PcrPoliciesError} `PCR_POLICIES_MALFORMED`, `PCR_POLICIES_TOO_LARGE`, `PCR_POLICIES_DUPLICATE`.
 */
export function decodePcrPolicies(bytes: Uint8Array): readonly PcrPolicy[] {
  if (bytes.byteLength > MAX_PCR_POLICIES_BYTES) {
    throw new PcrPoliciesError('PCR_POLICIES_TOO_LARGE', `over ${MAX_PCR_POLICIES_BYTES} bytes are no policies file`)
  }
  const entries = parseEntries(bytes)
  assertCount(entries.length)
  const policies = entries.map(toPolicy)
  // Also finds a field given twice, which JSON.parse takes without a word.
  if (Buffer.compare(encodePcrPolicies(policies), bytes) !== 0) {
    throw malformed('it is not spelt as sealctl writes it, so somebody or something changed it')
  }
  return policies
}

function parseEntries(bytes: Uint8Array): readonly Entry[] {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return v.parse(schema, parsed).policies
  } catch (cause) {
    throw malformed('it is cut, changed, or of another version', cause)
  }
}

function toEntry(policy: PcrPolicy): Entry {
  const { label, reference, createdAtMs, values } = policy
  const subject = {
    label,
    reference,
    created: new Date(createdAtMs).toISOString(),
    pcrs: values.map(({ index, value }) => ({ pcr: index, sha256: toHex(value) })),
    policy: toHex(policyDigestOf(policy)),
  }
  if (policy.state === 'predicted') return { state: 'predicted', ...subject }
  return { state: 'signed', ...subject, signature: toHex(policy.signature) }
}

function toPolicy(entry: Entry): PcrPolicy {
  const { label, reference, created, pcrs, policy: digest } = entry
  const values = pcrs.map(({ pcr, sha256 }): PcrValue => ({ index: pcr, value: fromHex(sha256) }))
  const predicted = readPredicted({ label, reference, values, createdAtMs: Date.parse(created) })
  if (toHex(policyDigestOf(predicted)) !== digest) {
    throw malformed(`the policy digest of ${JSON.stringify(label)} is not that of its PCR values`)
  }
  return entry.state === 'predicted'
    ? predicted
    : { ...predicted, state: 'signed', signature: fromHex(entry.signature) }
}

function readPredicted(subject: Parameters<typeof predictPolicy>[0]): ReturnType<typeof predictPolicy> {
  try {
    return predictPolicy(subject)
  } catch (cause) {
    if (!(cause instanceof PcrPoliciesError)) throw cause
    throw malformed(cause.message, cause)
  }
}

function assertCount(count: number): void {
  if (count <= MAX_PCR_POLICIES) return
  throw new PcrPoliciesError(
    'PCR_POLICIES_TOO_LARGE',
    `a policies file holds at most ${MAX_PCR_POLICIES} policies, not ${count}: drop old ones with sealctl tpm retire`,
  )
}

/** What makes two policies the same for a TPM. */
export function policyKey(policy: PcrPolicy): string {
  return `${toHex(policyDigestOf(policy))} ${policy.reference}`
}

function assertNoDuplicates(policies: readonly PcrPolicy[]): void {
  const seen = new Set<string>()
  for (const policy of policies) {
    const key = policyKey(policy)
    if (seen.has(key)) {
      throw new PcrPoliciesError(
        'PCR_POLICIES_DUPLICATE',
        `${JSON.stringify(policy.label)} approves what another policy of reference ${policy.reference} approves: keep one`,
      )
    }
    seen.add(key)
  }
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

function malformed(why: string, cause?: unknown): PcrPoliciesError {
  return new PcrPoliciesError('PCR_POLICIES_MALFORMED', `this is no usable file of PCR policies: ${why}`, { cause })
}
