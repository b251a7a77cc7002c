import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { type ChainPosition, labelled } from './chain.ts'
import { encodeText } from './detail.ts'
import { AuditError } from './errors.ts'
import { type AuditLine, type EncodedLine, encodeStart, finishLine, type Occasion } from './line.ts'

const LABEL_CHECKPOINT = 'sealwright audit-log v1 checkpoint'
const KEY_BYTES = 32
const KEY_ID = /^[\x21-\x7e]{1,64}$/
const MAC = /^[0-9a-f]{64}$/

/** What checkpoints are made with: a key that follows from the seal key and is used for nothing else. */
export interface CheckpointKey {
  /** Names it in the log: 1 to 64 printable ASCII characters, no space. */
  readonly keyId: string
  /** A secret key of 32 bytes. */
  readonly key: KeyObject
}

/** Finds the key of this id; `undefined` if the checker does not have it. */
export type FindCheckpointKey = (keyId: string) => KeyObject | undefined

/** What became of the check of a checkpoint. `unchecked`: its key is not at hand. */
export type CheckpointVerdict = 'genuine' | 'forged' | 'unchecked'

/**
 * Refuses what cannot be a key for checkpoints.
 *
 * @throws {@link AuditError} `AUDIT_CHECKPOINT_KEY_INVALID`.
 */
export function assertCheckpointKey({ keyId, key }: CheckpointKey): void {
  if (!KEY_ID.test(keyId)) {
    throw new AuditError('AUDIT_CHECKPOINT_KEY_INVALID', 'the key id is not 1 to 64 printable ASCII characters')
  }
  if (key.type !== 'secret' || key.symmetricKeySize !== KEY_BYTES) {
    throw new AuditError('AUDIT_CHECKPOINT_KEY_INVALID', `a checkpoint key is a secret key of ${KEY_BYTES} bytes`)
  }
}

/**
 * A line that vouches, under a key, for all lines before it: its MAC covers all of the line up to itself, and so the hash of the line
 * before.
 *
 * @throws {@link AuditError} `AUDIT_CHECKPOINT_KEY_INVALID`.
 */
export function encodeCheckpoint(checkpointKey: CheckpointKey, before: ChainPosition, occasion: Occasion): EncodedLine {
  assertCheckpointKey(checkpointKey)
  const covered = coveredText(checkpointKey.keyId, before, occasion)
  return finishLine(`${covered}${macOf(checkpointKey.key, covered)}"}`, before)
}

/** Checks the MAC of a line; `undefined` if the line is no checkpoint. */
export function checkCheckpoint(line: AuditLine, findKey: FindCheckpointKey): CheckpointVerdict | undefined {
  const { keyId, mac } = line.detail
  if (line.kind !== 'checkpoint' || typeof keyId !== 'string' || typeof mac !== 'string') return undefined
  const key = findKey(keyId)
  if (key === undefined) return 'unchecked'
  const before = { sequence: line.sequence - 1, hash: line.previousHash }
  const expected = macOf(key, coveredText(keyId, before, line))
  return MAC.test(mac) && timingSafeEqual(Buffer.from(mac, 'hex'), Buffer.from(expected, 'hex')) ? 'genuine' : 'forged'
}

/** The line up to the first digit of its MAC: `keyId` stands before `mac`. */
function coveredText(keyId: string, before: ChainPosition, occasion: Occasion): string {
  return `${encodeStart('checkpoint', before, occasion)}{"keyId":${encodeText(keyId)},"mac":"`
}

function macOf(key: KeyObject, covered: string): string {
  return createHmac('sha256', key).update(labelled(LABEL_CHECKPOINT, covered)).digest('hex')
}
