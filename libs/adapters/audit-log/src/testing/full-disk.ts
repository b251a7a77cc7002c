// A program for tests, run in a mount namespace of its own: writes a log on a disk of 64 KiB until it is full, makes room, and prints
// what came of it. Its input: a folder to mount the disk on.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { openAuditLog } from '../log.ts'
import { verifyAuditLog } from '../verify.ts'
import { revisionsIn, sampleEvent, sampleOptions } from './sample-log.ts'

const STANDARD_IN = 0
const mountPoint = readFileSync(STANDARD_IN, 'utf8')
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mountPoint])
const directory = `${mountPoint}/audit`
const filler = `${mountPoint}/filler`
const options = sampleOptions(directory)
const log = openAuditLog(options)
log.append(sampleEvent(1))
await log.flush()
writeFileSync(filler, Buffer.alloc(40_000))
let revision = 1
for (let isFull = false; !isFull;) {
  revision += 1
  log.append(sampleEvent(revision))
  isFull = (await log.flush()).kind === 'waiting'
}
const whenFull = await verifyAuditLog(directory)
rmSync(filler)
log.append(sampleEvent(revision + 1))
const afterwards = await log.flush()
await log[Symbol.asyncDispose]()
const verified = await verifyAuditLog(directory)
process.stdout.write(
  JSON.stringify({
    codes: [...new Set(options.failures.map(({ code }) => code))],
    whenFull: whenFull.kind,
    afterwards: afterwards.kind,
    verified: verified.kind,
    isComplete: revisionsIn(directory).every((found, index) => found === index + 1),
    lastFound: revisionsIn(directory).at(-1) === revision + 1,
  }),
)
