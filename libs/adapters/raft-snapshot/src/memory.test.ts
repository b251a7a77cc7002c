import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createGzip } from 'node:zlib'
import { readRaftSnapshot } from './read-raft-snapshot.ts'
import { signal } from './testing/read.ts'
import { entryOf, members, metaJson, tarOf } from './testing/write-snapshot.ts'

const MIB = 1_024 * 1_024
const COUNT = 512
const LOOK_EVERY = 16
const MAX_GROWTH_BYTES = 128 * MIB

/** Keys that ascend, values of a mebibyte. */
const entryNumber = (number: number): Uint8Array =>
  entryOf(Buffer.from(`k${String(number).padStart(6, '0')}`), Buffer.alloc(MIB))

function* state(): Generator<Uint8Array> {
  for (let number = 0; number < COUNT; number += 1) yield entryNumber(number)
}

/** A snapshot that is made while it is read. */
function* archive(): Generator<Uint8Array> {
  const stateBytes = COUNT * entryNumber(0).byteLength
  const meta = metaJson(stateBytes)
  const hash = createHash('sha256')
  for (const chunk of state()) hash.update(chunk)
  const small = members(new Uint8Array(), meta)
  const sums = Buffer.from(small[2].bytes)
    .toString()
    .replace(/.*(?= {2}state\.bin)/, hash.digest('hex'))

  const header = tarOf([{ ...small[1], namedBytes: stateBytes }]).subarray(0, 512)
  yield tarOf([small[0]]).subarray(0, -1_024)
  yield header
  yield* state()
  yield Buffer.alloc((512 - (stateBytes % 512)) % 512)
  yield tarOf([{ ...small[2], bytes: Buffer.from(sums) }, small[3]])
}

it('is constant however long the snapshot is', async () => {
  // What is garbage by now does not count, however late a busy machine collects it.
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const used = (): number => {
    collectGarbage()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = used()
  let [mostBytes, looks] = [0, 0]
  const input = pipeline(archive, createGzip({ level: 1 }), () => undefined)
  const { entryCount, metadata } = await readRaftSnapshot(input, {
    signal,
    wants: () => {
      if (looks % LOOK_EVERY === 0) mostBytes = Math.max(mostBytes, used() - before)
      looks += 1
      return false
    },
  })
  expect(entryCount).toBe(COUNT)
  expect(metadata.stateBytes).toBeGreaterThan(4 * MAX_GROWTH_BYTES - 1)
  expect(mostBytes).toBeLessThan(MAX_GROWTH_BYTES)
})
