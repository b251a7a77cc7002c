// A program for tests: another process that works on a seal store. Orders come as JSON lines on stdin, answers go as
// JSON lines to stdout. It ends when stdin ends.
import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { StoreError } from '../errors.ts'
import { openFolder } from '../folder.ts'
import { type StoreLock } from '../lock.ts'
import { readKeyringFrom } from '../read-keyring.ts'
import { openSealStore, type SealStore } from '../store.ts'
import { type WriteStep, writeKeyringTo } from '../write-keyring.ts'
import { type ChildAnswer, type ChildOrder, STANDARD_OUT } from './child-orders.ts'
import { sampleKeyring, sampleSequence, verifySample } from './sample-keyring.ts'

const signal = new AbortController().signal
/** Held for as long as this process lives. */
const heldLocks: StoreLock[] = []

/** Synchronous, so that what was said before a SIGKILL has left the process. */
function say(answer: ChildAnswer): void {
  writeSync(STANDARD_OUT, `${JSON.stringify(answer)}\n`)
}

async function obey(order: ChildOrder): Promise<ChildAnswer> {
  switch (order.op) {
    case 'read': {
      await using store = await openSealStore({ path: order.path, verify: verifySample })
      const bytes = await store.readKeyring()
      return { kind: 'done', sequence: bytes === undefined ? 0 : sampleSequence(bytes) }
    }
    case 'write': {
      await using store = await openSealStore({ path: order.path, verify: verifySample, create: true })
      const bytes = sampleKeyring(order.sequence, order.fillerBytes)
      const expectedCurrent = await store.readKeyring()
      await store.writeKeyring({ bytes, expectedCurrent, prove: proveSample, signal })
      return { kind: 'done', sequence: order.sequence }
    }
    case 'increment': {
      await using store = await openSealStore({ path: order.path, verify: verifySample })
      return { kind: 'done', sequence: await increment(store, order.times) }
    }
    case 'hold-agent-lock': {
      const store = await openSealStore({ path: order.path, verify: verifySample })
      heldLocks.push(await store.lockForAgent({ signal }))
      return { kind: 'done', sequence: 0 }
    }
    case 'start-grandchild': {
      const grandchild = spawn('sleep', ['60'], { stdio: 'ignore', detached: true })
      grandchild.unref()
      return { kind: 'done', sequence: grandchild.pid ?? 0 }
    }
    case 'list':
      return { kind: 'listed', names: readdirSync(order.path).sort() }
    case 'run':
      execFileSync(order.program, order.args, { stdio: 'ignore' })
      return { kind: 'done', sequence: 0 }
    case 'rewrite-until-killed':
      return rewriteUntilKilled(order.path, order.dieAt)
  }
}

function proveSample(bytes: Uint8Array): Promise<void> {
  verifySample(bytes)
  return Promise.resolve()
}

/** Adds one so many times, reading again whenever another process was quicker. Returns the last number written. */
async function increment(store: SealStore, times: number): Promise<number> {
  let last = 0
  for (let written = 0; written < times;) {
    const expectedCurrent = await store.readKeyring()
    last = (expectedCurrent === undefined ? 0 : sampleSequence(expectedCurrent)) + 1
    try {
      await store.writeKeyring({ bytes: sampleKeyring(last), expectedCurrent, prove: proveSample, signal })
      written += 1
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'STORE_CHANGED') throw cause
    }
  }
  return last
}

/** Content of a length that differs from one write to the next, up to some 8 KiB. */
function fillerBytesOf(sequence: number): number {
  return (sequence * 1237) % 8192
}

async function rewriteUntilKilled(path: string, dieAt: WriteStep | undefined): Promise<never> {
  const folder = await openFolder(path)
  for (;;) {
    const expectedCurrent = await readKeyringFrom(folder, verifySample)
    const sequence = (expectedCurrent === undefined ? 0 : sampleSequence(expectedCurrent)) + 1
    const bytes = sampleKeyring(sequence, fillerBytesOf(sequence))
    say({ kind: 'started', sequence })
    await writeKeyringTo(
      folder,
      { bytes, expectedCurrent, prove: proveSample, signal },
      {
        verify: verifySample,
        lock: { flockCommand: ['flock'], timeoutMs: 30_000 },
        onStep: step => {
          say({ kind: 'step', step })
          if (step === dieAt) process.kill(process.pid, 'SIGKILL')
        },
      },
    )
    say({ kind: 'done', sequence })
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as ChildOrder // only the tests beside this file write here
  try {
    say(await obey(order))
  } catch (cause) {
    say({ kind: 'failed', code: cause instanceof StoreError ? cause.code : String(cause), message: String(cause) })
    // Nobody will kill a child that cannot go on.
    if (order.op === 'rewrite-until-killed') process.exit(1)
  }
}
// A held lock keeps nothing running; end now, as a killed process would, without releasing anything.
process.exit(0)
