import * as v from 'valibot'

const text = v.pipe(v.string(), v.nonEmpty('must not be empty'))
const absolutePath = v.pipe(text, v.startsWith('/', 'must be an absolute path'))
const wholeNumber = (minimum: number, maximum: number) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(minimum, `must be at least ${minimum}`),
    v.maxValue(maximum, `must be at most ${maximum}`),
  )

/** Names appear in commands, metrics and audit lines, so they keep to a small alphabet. */
const sealName = v.pipe(
  text,
  v.regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 of a-z, 0-9 and "-", beginning with a letter'),
)

/** Where the TPM answers; just one of the three. */
const tpmAddress = v.union(
  [
    v.strictObject({ device: absolutePath }),
    v.strictObject({ socket: absolutePath }),
    v.strictObject({ host: text, port: wholeNumber(1, 65_535) }),
  ],
  'must be { device: PATH }, { socket: PATH } or { host: NAME, port: NUMBER }',
)

/** The name of a storage key with a SHA-256 name algorithm, as `bootstrap-init` prints it. It is not secret. */
const storageKeyName = v.pipe(
  text,
  v.regex(/^000b[0-9a-f]{64}$/, 'must be 68 of 0-9 and a-f beginning with 000b, as bootstrap-init prints it'),
)

const tpmSeal = v.strictObject({
  type: v.literal('tpm'),
  name: sealName,
  priority: wholeNumber(1, 1_000),
  disabled: v.optional(v.boolean(), false),
  tpm: v.optional(tpmAddress, { device: '/dev/tpmrm0' }),
  pcrs: v.optional(
    v.pipe(
      v.array(wholeNumber(0, 23)),
      v.check(list => new Set(list).size === list.length, 'names a PCR twice'),
    ),
    [],
  ),
  pinFile: v.optional(absolutePath),
  storageKeyName: v.optional(storageKeyName),
  ownerAuthFile: v.optional(absolutePath),
  deadlineMs: v.optional(wholeNumber(100, 600_000), 30_000),
})

const openbao = v.strictObject({
  address: v.pipe(
    text,
    v.regex(/^https?:\/\//, 'must begin with https:// (or http:// on loopback)'),
    v.check(
      isPrivateOnItsWay,
      'must be https://: http:// is for loopback only (127.0.0.1, [::1] or localhost), or the network could read and change it',
    ),
  ),
  caFile: v.optional(absolutePath),
})

const agent = v.strictObject({
  ipcDirectory: v.optional(absolutePath, '/run/sealwright/ipc/seal'),
  ipcGroupId: v.optional(wholeNumber(0, 0xffff_fffe)),
  controlSocket: v.optional(absolutePath, '/run/sealwright/control.sock'),
  probeIntervalMs: v.optional(wholeNumber(1_000, 86_400_000), 300_000),
})

/** What one node's configuration file may say. Unknown fields are refused at every level. */
export const nodeConfigSchema = v.strictObject({
  store: v.optional(absolutePath, '/var/lib/sealwright/seal'),
  seals: v.pipe(
    v.array(v.variant('type', [tpmSeal], 'must be one of: tpm')),
    v.minLength(1, 'must name at least one seal'),
    v.check(list => isUnique(list, seal => seal.name), 'two seals that are not disabled share a name'),
    v.check(list => isUnique(list, seal => seal.priority), 'two seals that are not disabled share a priority'),
    v.check(list => list.some(seal => !seal.disabled), 'every seal is disabled'),
  ),
  agent: v.optional(agent, {}),
  openbao: v.optional(openbao),
})

/** Whether nobody on a network can read what is sent there: RFC 1122 §3.2.1.3 (127/8), RFC 4291 §2.5.3 (::1), `localhost`. */
function isPrivateOnItsWay(address: string): boolean {
  if (!address.startsWith('http://') || !URL.canParse(address)) return true
  return /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(new URL(address).hostname)
}

function isUnique<S extends { disabled: boolean }>(seals: readonly S[], key: (seal: S) => unknown): boolean {
  const enabled = seals.filter(seal => !seal.disabled)
  return new Set(enabled.map(key)).size === enabled.length
}

type Output = v.InferOutput<typeof nodeConfigSchema>

/** One node's configuration, checked and with its defaults filled in. */
export type NodeConfig = Readonly<Output>

/** Settings of the seal agent. */
export type AgentConfig = NodeConfig['agent']

/** A seal that a TPM keeps. */
export type TpmSealConfig = NodeConfig['seals'][number]

/** Where a TPM answers. */
export type TpmAddress = TpmSealConfig['tpm']
