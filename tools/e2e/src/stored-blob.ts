import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { type OpenBaoNode } from '@sealwright/testing-rig'

type Bytes = Buffer<ArrayBuffer>

/** The fields of an entry in a snapshot: protobuf, length-delimited. */
const KEY_TAG = 0x0a
const VALUE_TAG = 0x12
const MAX_STATE_BYTES = 64 * 1024 * 1024

/** What OpenBao stores under `key`, out of a raft snapshot, as anybody has it who has a backup. */
export async function storedInSnapshot(
  node: OpenBaoNode,
  { key, token, path }: { readonly key: string; readonly token: string; readonly path: string },
): Promise<Bytes> {
  const response = await fetch(`${node.apiAddress}/v1/sys/storage/raft/snapshot`, {
    headers: { 'X-Vault-Token': token },
  })
  await writeFile(path, Buffer.from(await response.arrayBuffer()), { mode: 0o600 })
  const { stdout } = await promisify(execFile)('tar', ['-xzOf', path, 'state.bin'], {
    encoding: 'buffer',
    maxBuffer: MAX_STATE_BYTES,
  })
  for (let rest = stdout; rest.length > 0;) {
    const entry = readLengthDelimited(rest)
    rest = entry.rest
    if (entry.bytes[0] !== KEY_TAG) throw new Error('an entry of the snapshot does not begin with its key')
    const name = readLengthDelimited(entry.bytes.subarray(1))
    if (name.bytes.toString() !== key) continue
    if (name.rest[0] !== VALUE_TAG) throw new Error(`${key} has no value in the snapshot`)
    return readLengthDelimited(name.rest.subarray(1)).bytes
  }
  throw new Error(`${key} is not in the snapshot`)
}

function readLengthDelimited(from: Bytes): { readonly bytes: Bytes; readonly rest: Bytes } {
  let byteLength = 0
  let offset = 0
  for (;;) {
    const byte = from.readUInt8(offset)
    byteLength += (byte & 0x7f) * 128 ** offset
    offset += 1
    if (byte < 0x80) break
  }
  const end = offset + byteLength
  if (end > from.length) throw new Error('the snapshot ends in the middle of an entry')
  return { bytes: from.subarray(offset, end), rest: from.subarray(end) }
}
