/**
 * A whole agent in one process, for tests that kill it. Reads its settings as one line of JSON from stdin, prints each
 * event as a line of JSON, and ends when stdin does.
 */
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { SealPluginError } from '../errors.ts'
import { type SealService, SealServiceRefusal } from '../seal-service.ts'
import { serveSealPlugin } from '../serve.ts'
import { type FixtureSettings } from './fixture-settings.ts'
import { memorySeal } from './memory-seal.ts'

function print(line: object): void {
  const text = JSON.stringify(line, (_key, value: unknown) => (value instanceof Error ? String(value) : value))
  process.stdout.write(`${text}\n`)
}

function serviceFor(settings: FixtureSettings): SealService {
  const key = Buffer.from(settings.keyHex, 'hex')
  const seal = memorySeal(key)
  const decrypt: SealService['decrypt'] = (blob, aad, signal) => {
    print({ kind: 'decryptStarted' })
    switch (settings.decrypt) {
      case 'answer':
        return seal.decrypt(blob, aad, signal)
      case 'hold':
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('the call was cancelled'))
          })
        })
      case 'refuse':
        return Promise.reject(new SealServiceRefusal('FIXTURE_NO_SEAL', 'no seal opens yet, enter shares'))
    }
  }
  return {
    ...seal,
    decrypt,
    encrypt: (plaintext, aad) => {
      if (settings.encrypt === 'answer') return seal.encrypt(plaintext, aad)
      throw new Error('cannot open /dev/tpmrm0 for /var/lib/sealwright/store')
    },
    configure: options => {
      if (options.get('refuse') !== undefined) throw new SealServiceRefusal('FIXTURE_OPTION', 'unknown option "refuse"')
      return seal.configure(options)
    },
  }
}

async function run(settings: FixtureSettings): Promise<void> {
  const stop = new AbortController()
  try {
    const server = await serveSealPlugin({
      directory: settings.directory,
      service: serviceFor(settings),
      onEvent: print,
      now: () => performance.now() + performance.timeOrigin,
      randomUuid: randomUUID,
      signal: stop.signal,
    })
    process.on('SIGTERM', () => {
      void server.close().then(() => process.exit(0))
    })
    print({ kind: 'ready' })
  } catch (error) {
    print({ kind: 'refused', code: error instanceof SealPluginError ? error.code : String(error) })
    process.exitCode = 1
  }
}

const input = createInterface({ input: process.stdin })
input.once('line', line => void run(JSON.parse(line) as FixtureSettings))
input.once('close', () => process.exit())
