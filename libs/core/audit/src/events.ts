/**
 * What a field of an event holds: `text` of at most 128 UTF-16 code units, a `count` (a whole number from 0), or a `flag`.
 * A `?` marks a field that is left out where nobody knows it.
 */
export type FieldType = 'text' | 'count' | 'flag' | 'text?' | 'count?'

type Fields = Readonly<Record<string, FieldType>>

/** Who called the control API, as the kernel says; left out where it cannot be asked. */
const CALLER = { uid: 'count?', gid: 'count?', pid: 'count?' } as const
const SEAL = { seal: 'text', sealType: 'text' } as const
const GENERATION = { generation: 'count', generationId: 'text', keyId: 'text' } as const
const MEMBER = { seal: 'text', memberId: 'text' } as const
const RECORD = { ...MEMBER, generation: 'count', method: 'text' } as const
const CEREMONY = { seal: 'text', ceremony: 'text' } as const

/**
 * The kinds of event that a program may append, and their fields. Ids are lower-case hex; a `code` is a stable error code. No field
 * holds key bytes, a share, a PIN, a token or a message of somebody else.
 *
 * Adding a kind is minor. The fields of a kind never change: another shape is another kind.
 */
export const EVENT_FIELDS = {
  'agent-started': { version: 'text', pid: 'count' },
  'agent-stopped': { reason: 'text' },
  'config-reloaded': { seals: 'count' },
  'config-refused': { code: 'text' },
  'control-called': { method: 'text', path: 'text', status: 'count', ...CALLER },

  'seal-opened': { ...SEAL, generation: 'count', tookMs: 'count' },
  'seal-failed': { ...SEAL, code: 'text', tookMs: 'count' },
  'seal-added': { ...SEAL, sealId: 'text', ...CALLER },
  'seal-renamed': { seal: 'text', formerName: 'text', sealId: 'text', ...CALLER },
  'seal-removed': { ...SEAL, sealId: 'text', ...CALLER },

  'keyring-stored': { revision: 'count' },
  'generation-added': { ...GENERATION, step: 'text' },
  'generation-activated': GENERATION,
  'generation-retired': GENERATION,
  'record-added': RECORD,
  'record-removed': RECORD,

  'member-enrolled': { ...MEMBER, label: 'text', ...CALLER },
  'member-revoked': { ...MEMBER, label: 'text', ...CALLER },
  'member-relabelled': { ...MEMBER, label: 'text', formerLabel: 'text', ...CALLER },

  'shares-created': { seal: 'text', shareSet: 'text', shares: 'count', threshold: 'count', ...CALLER },
  'share-entered': { ...CEREMONY, shareSet: 'text', index: 'count', entered: 'count', threshold: 'count', ...CALLER },
  'share-refused': { ...CEREMONY, shareSet: 'text?', index: 'count?', code: 'text', ...CALLER },
  'ceremony-reset': { ...CEREMONY, reason: 'text', ...CALLER },
  'ceremony-completed': { ...CEREMONY, purpose: 'text' },
  'rehearsal-ended': { ...CEREMONY, shareSet: 'text', entered: 'count', passed: 'flag', code: 'text?' },

  'key-delivered': { file: 'text', keyId: 'text' },
  'key-delivery-failed': { file: 'text', keyId: 'text', code: 'text' },
  'key-file-written': { file: 'text', keyId: 'text' },
  'key-file-removed': { file: 'text' },
} as const satisfies Readonly<Record<string, Fields>>

/** The kinds that the log writes about itself. */
export const LOG_EVENT_FIELDS = {
  /** The first line of each segment. `held` and `rest` say what was found behind the last line of the one before. */
  'segment-opened': { segment: 'count', reason: 'text', heldBytes: 'count?', restBytes: 'count?', restHash: 'text?' },
  'events-lost': { count: 'count' },
  checkpoint: { keyId: 'text', mac: 'text' },
} as const satisfies Readonly<Record<string, Fields>>

interface FieldValue {
  readonly text: string
  readonly count: number
  readonly flag: boolean
  readonly 'text?': string
  readonly 'count?': number
}

type OptionalField<Kind extends Fields> = {
  [Name in keyof Kind]: Kind[Name] extends `${string}?` ? Name : never
}[keyof Kind]

type Details<Kind extends Fields> = {
  readonly [Name in Exclude<keyof Kind, OptionalField<Kind>>]: FieldValue[Kind[Name]]
} & { readonly [Name in OptionalField<Kind>]?: FieldValue[Kind[Name]] }

/** Names of the kinds that a program may append. */
export type AuditEventKind = keyof typeof EVENT_FIELDS

/** What a program may append: the kind, and its fields beside it. */
export type AuditEvent = {
  [Kind in AuditEventKind]: { readonly kind: Kind } & Details<(typeof EVENT_FIELDS)[Kind]>
}[AuditEventKind]

/** What the log writes about itself. A checkpoint is made by `encodeCheckpoint`. */
export type LogEvent = {
  [Kind in 'segment-opened' | 'events-lost']: { readonly kind: Kind } & Details<(typeof LOG_EVENT_FIELDS)[Kind]>
}['segment-opened' | 'events-lost']

/** The fields of a kind, or `undefined` for a kind that a newer version may know. */
export function fieldsOf(kind: string): Fields | undefined {
  if (Object.hasOwn(EVENT_FIELDS, kind)) return EVENT_FIELDS[kind as AuditEventKind]
  if (Object.hasOwn(LOG_EVENT_FIELDS, kind)) return LOG_EVENT_FIELDS[kind as keyof typeof LOG_EVENT_FIELDS]
  return undefined
}
