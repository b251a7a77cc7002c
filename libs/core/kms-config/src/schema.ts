import {
  absolutePath,
  clusterIdText,
  hasItsCertificate,
  NEEDS_CERTIFICATE,
  openBaoAddress,
  sealList,
  text,
  transitAuth,
  transitTls,
  wholeNumber,
} from '@sealwright/node-config'
import * as v from 'valibot'

/** kube-apiserver gives a call 3 s unless it is told otherwise. */
const KUBE_APISERVER_TIMEOUT_MS = 3_000
const DEFAULT_DEADLINE_MS = 2_500
/** Callers hear of a backend that is down within a second. */
const DEFAULT_PATIENCE_MS = 800

/** Stands in key ids: it must never change in the life of a cluster, and be the same on all its nodes. */
const kubernetesClusterId = v.pipe(
  text,
  v.regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/, 'must be 1 to 63 of a-z, 0-9, "-" and ".", not at its ends'),
)

const deadlineMs = v.optional(
  v.pipe(
    wholeNumber(100, 600_000),
    v.check(
      limit => limit < KUBE_APISERVER_TIMEOUT_MS,
      'must be below 3000, the time that kube-apiserver gives a call: else it would never hear what is wrong',
    ),
  ),
  DEFAULT_DEADLINE_MS,
)

const transitFields = v.strictObject({
  type: v.literal('transit'),
  /** Nodes of one OpenBao cluster: any that is unsealed will do. */
  addresses: v.pipe(
    v.array(openBaoAddress),
    v.minLength(1, 'must name at least one'),
    v.maxLength(16, 'must name at most 16'),
    v.check(list => new Set(list).size === list.length, 'names one twice'),
  ),
  mountPath: v.optional(text, 'transit'),
  namespace: v.optional(text),
  keyName: text,
  auth: transitAuth,
  tls: transitTls,
  deadlineMs,
  /** How long nothing may be heard of all addresses together before calls fail at once, and it is knocked until one is back. A longer one than the deadline is the deadline. */
  patienceMs: v.optional(wholeNumber(100, 600_000), DEFAULT_PATIENCE_MS),
})

const transitBackend = v.pipe(
  transitFields,
  v.check(backend => hasItsCertificate(backend), NEEDS_CERTIFICATE),
)

/** A keyring of its own, opened by any of several seals: a TPM, an HSM, another OpenBao. */
const keyringBackend = v.strictObject({
  type: v.literal('keyring'),
  store: v.optional(absolutePath, '/var/lib/sealwright/kms/keyring'),
  /** Of the keyring, as `sealctl kms keyring init` prints it. */
  clusterId: v.optional(clusterIdText),
  seals: sealList,
})

const OCTAL_MODE = /^0[0-7]{3}$/

const socket = v.strictObject({
  path: v.optional(absolutePath, '/run/sealwright/kms/kms.sock'),
  mode: v.optional(
    v.pipe(
      text,
      v.regex(OCTAL_MODE, 'must be an octal mode in quotation marks, such as "0600"'),
      v.transform(mode => Number.parseInt(mode, 8)),
      v.check(mode => (mode & 0o600) === 0o600, 'must let its owner read and write, such as "0600"'),
      v.check(mode => (mode & 0o007) === 0, 'must give nothing to others: whoever connects can decrypt'),
    ),
    '0600',
  ),
  /** Whom it is given to. Left out: the user and group that the plugin runs as. */
  userId: v.optional(wholeNumber(0, 0xffff_fffe)),
  groupId: v.optional(wholeNumber(0, 0xffff_fffe)),
})

/** What the configuration file of a KMS plugin may say. Unknown fields are refused at every level. */
export const kmsConfigSchema = v.strictObject({
  clusterId: kubernetesClusterId,
  backend: v.variant('type', [transitBackend, keyringBackend], 'must be one of: transit, keyring'),
  socket: v.optional(socket, {}),
  /** For `/healthz`, `/readyz` and `/metrics`. */
  statusSocket: v.optional(absolutePath, '/run/sealwright/kms/status.sock'),
  stateDirectory: v.optional(absolutePath, '/var/lib/sealwright/kms/state'),
  rotation: v.optional(
    v.strictObject({
      stableObservations: v.optional(wholeNumber(1, 100), 3),
      activationDelayMs: v.optional(wholeNumber(0, 604_800_000), 300_000),
    }),
    {},
  ),
  probe: v.optional(
    v.strictObject({
      intervalMs: v.optional(wholeNumber(100, 600_000), 10_000),
      /** While the last one failed. */
      retryIntervalMs: v.optional(wholeNumber(10, 600_000), 1_000),
      unhealthyAfterFailures: v.optional(wholeNumber(1, 100), 2),
      staleAfterMs: v.optional(wholeNumber(1_000, 3_600_000), 60_000),
    }),
    {},
  ),
})

/** The configuration of a KMS plugin, checked and with its defaults filled in. */
export type KmsConfig = Readonly<v.InferOutput<typeof kmsConfigSchema>>

export type TransitBackendConfig = Readonly<v.InferOutput<typeof transitBackend>>
export type KeyringBackendConfig = Readonly<v.InferOutput<typeof keyringBackend>>
