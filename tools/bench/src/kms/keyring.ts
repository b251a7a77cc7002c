import { join } from 'node:path'
import { createPluginNode, initKeyring, keyringBackendFields, softHsmSeal } from '@sealwright/testing-kms'
import { accessSync } from 'node:fs'
import { atLeast, type FigureReport, median } from '../figure.ts'
import { load, startReference } from './kit.ts'

const CALLERS = 64
const SECONDS = 3
const CALLS_PER_SECOND_TARGET = 10_000
const PEER_TARGET = 0.9

/** `pkcs11.*`: a keyring that a SoftHSM token keeps, against an equal provider in Go with its key in memory. */
export async function measureKeyring(directory: string, rounds: number): Promise<readonly FigureReport[]> {
  const seal = await softHsmSeal(join(directory, 'hsm'))
  await using plugin = await createPluginNode({
    ...{ directory: join(directory, 'hsm-kms'), name: 'hsm-kms' },
    backend: keyringBackendFields(join(directory, 'hsm-kms'), [seal]),
    probe: {},
  })
  await initKeyring(plugin)
  await plugin.start()
  const referencePath = join(directory, 'reference.sock')
  await using reference = await startReference({ socketPath: referencePath, directory })
  await reference.waitFor(() => isThere(referencePath), { what: 'the reference provider', timeoutMs: 10_000 })

  const figures: FigureReport[] = []
  for (const operation of ['encrypt', 'decrypt'] as const) {
    const [ours, theirs]: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      const common = { operation, callers: CALLERS, seconds: SECONDS }
      theirs.push((await load({ ...common, socketPath: referencePath })).perSecond)
      ours.push((await load({ ...common, socketPath: plugin.socketPath })).perSecond)
    }
    const peer = median(theirs)
    figures.push(
      atLeast(
        {
          ...{ name: `pkcs11.${operation}64`, value: median(ours), unit: 'calls/s' },
          meaning:
            `${operation} with ${CALLERS} callers by a key that a SoftHSM token keeps, against the lower of ${CALLS_PER_SECOND_TARGET} and ` +
            `${PEER_TARGET} × what an equal provider in Go gets (${Math.round(peer)})`,
        },
        Math.min(CALLS_PER_SECOND_TARGET, peer * PEER_TARGET),
      ),
    )
  }
  return figures
}

function isThere(path: string): boolean {
  try {
    accessSync(path)
    return true
  } catch {
    return false // not yet
  }
}
