// A program for tests: nodes that rotate their seal keys again and again, until somebody kills them. One order comes as a JSON line
// on stdin, answers go as JSON lines to stdout.
import { randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setImmediate as turn } from 'node:timers/promises'
import { agentLock } from '@sealwright/node-seals'
import { pino } from 'pino'
import { keyringCustody } from '../keyring/custody.ts'
import { fakeSeal } from './fake-seal.ts'
import { rotated } from './keyrings.ts'
import { quietMetrics, quietReporter } from './quiet.ts'
import { type DeathPoint, type RotatingAnswer, type RotatingOrder, STANDARD_OUT } from './rotating-orders.ts'

const { signal } = new AbortController()
const NO_AAD = new Uint8Array()
/** A keyring lists 256 generations at most, and whoever kills us wants to go on with it. */
const LAST_GENERATION = 200

/** Synchronous, so that what was said before a SIGKILL has left the process. */
function say(answer: RotatingAnswer): void {
  writeSync(STANDARD_OUT, `${JSON.stringify(answer)}\n`)
}

async function rotateUntilKilled(storePath: string, device: string, dieAt: DeathPoint | undefined): Promise<never> {
  const seal = fakeSeal({ device })
  const dieIf = (isIt: boolean): void => {
    if (isIt) process.kill(process.pid, 'SIGKILL')
  }
  // Whatever is in use is encrypted with at once: the store must know its key already.
  const encrypt = (): void => {
    const held = custody.holder.held()?.key
    if (held === undefined) return
    const blob = held.encryptBlob({ plaintext: Buffer.from(held.keyId), aad: NO_AAD, randomBytes })
    say({ storePath, kind: 'encrypted', blobHex: Buffer.from(blob).toString('hex'), keyId: held.keyId })
  }
  const custody = keyringCustody({
    ...{ storePath, signal, clusterId: () => undefined, lock: agentLock(storePath), seals: () => [seal] },
    ...{ log: pino({ level: 'silent' }), metrics: quietMetrics(), report: quietReporter() },
    onChanged: encrypt,
  })
  await custody.holder.probe(signal)
  const { generations } = custody.holder.held()?.key.keyring ?? { generations: [] }
  if (generations.length === 0) throw new Error(`not opened: ${JSON.stringify(custody.holder.health(seal.name))}`)
  const atStart = seal.asked()
  seal.whenAsked(() => {
    dieIf(dieAt === 'unlocking' && seal.asked() === atStart + 1)
    dieIf(dieAt === 'proving' && seal.asked() === atStart + 2)
  })
  say({ storePath, kind: 'ready', generations: generations.length })
  for (let count = generations.length; count < LAST_GENERATION; count += 1) {
    const { keyring } = await custody.change(unlocked => {
      const next = rotated(unlocked)
      dieIf(dieAt === 'changing')
      return next
    }, signal)
    say({ storePath, kind: 'rotated', generations: keyring.generations.length })
    dieIf(dieAt === 'rotated')
  }
  for (;;) await turn()
}

async function obey({ storePaths, device, dieAt }: RotatingOrder): Promise<void> {
  const running = storePaths.map(async (storePath, index) => {
    try {
      await rotateUntilKilled(storePath, device, index === 0 ? dieAt : undefined)
    } catch (cause) {
      say({ storePath, kind: 'failed', message: String(cause) })
      process.exit(1)
    }
  })
  await Promise.all(running)
}

for await (const line of createInterface({ input: process.stdin })) {
  await obey(JSON.parse(line) as RotatingOrder) // only the test of this program writes here
}
