// A program for tests: appends sample events to a log until it is killed. Its input is one JSON object: the folder, the number of the
// first event, and the step at which it kills itself, or `-`. It prints the number of each event that is on the disk for sure.
import { readFileSync, writeSync } from 'node:fs'
import { startAuditLog } from '../log.ts'
import { SAMPLE_CHECKPOINT_KEY, sampleEvent, sampleOptions } from './sample-log.ts'

/** What the parent orders. */
export interface LogChildOrder {
  readonly directory: string
  readonly firstRevision: number
  readonly dieAt: string
}

const STANDARD_IN = 0
const STANDARD_OUT = 1
/** Small, so that segments change often. */
const SEGMENT_MAX_BYTES = 6000
/** Steps pass by a few times before the one that kills. */
const STEPS_BEFORE_DEATH = 3

const order = JSON.parse(readFileSync(STANDARD_IN, 'utf8')) as LogChildOrder // only the test beside it writes here
const { directory, firstRevision, dieAt } = order
let passed = 0

const log = startAuditLog(sampleOptions(directory, { segmentMaxBytes: SEGMENT_MAX_BYTES }), step => {
  if (step !== dieAt) return
  passed += 1
  // A folder that has its first segment already passes the steps of a new one only when it rotates.
  if (passed >= (step.startsWith('segment') ? 1 : STEPS_BEFORE_DEATH)) process.kill(process.pid, 'SIGKILL')
})
log.setCheckpointKey(SAMPLE_CHECKPOINT_KEY)

for (let revision = firstRevision; ;) {
  const count = 1 + (revision % 7)
  for (let added = 0; added < count; added += 1) log.append(sampleEvent(revision + added))
  revision += count
  const outcome = await log.flush()
  // Synchronous, so that what was said before a SIGKILL has left the process.
  if (outcome.kind === 'written') writeSync(STANDARD_OUT, `${revision - 1}\n`)
}
