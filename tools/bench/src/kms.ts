import { createPluginNode, kmsClient, startTransitOpenBao } from '@sealwright/testing-kms'
import { temporaryFolder } from '@sealwright/testing-rig'
import { type FigureReport } from './figure.ts'
import { directCalls } from './kms/direct.ts'
import { measureKeyring } from './kms/keyring.ts'
import { type Attempt, measureLoadedMemory, measureOutage, measureStart } from './kms/life.ts'
import { measureColdStart, measureLocalAnswers, measureTransit, TELEMETRY } from './kms/transit.ts'

const SEED_BYTES = 32

/** The KMS plugin on Transit and on a keyring, with the direct backend and an equal provider in Go beside it. */
export async function benchKms(rounds: number): Promise<readonly FigureReport[]> {
  await using folder = await temporaryFolder()
  const fewerRounds = Math.max(3, Math.floor(rounds / 3))
  const figures: FigureReport[] = []
  await using bao = await startTransitOpenBao({ directory: folder.join('bao'), extraHcl: TELEMETRY })
  // As it is shipped: with the probes and delays that an operator has who changes nothing.
  await using plugin = await createPluginNode({
    ...{ directory: folder.join('kms'), name: 'kms', backend: bao.backend(), probe: {}, rotation: {} },
  })
  figures.push(...(await measureStart(plugin, fewerRounds)))
  await plugin.start()
  {
    await using direct = await directCalls(bao)
    const parts = { bao, plugin, direct }
    figures.push(...(await measureTransit(parts, fewerRounds)))
    figures.push(...(await measureColdStart(parts, fewerRounds)))
    figures.push(...(await measureLocalAnswers(parts, fewerRounds)))
  }
  figures.push(...(await measureLoadedMemory(plugin)))
  {
    const client = kmsClient(plugin.socketPath)
    try {
      const encrypted = await client.encrypt(new Uint8Array(SEED_BYTES))
      const attempt: Attempt = async () => {
        try {
          await client.decrypt(encrypted)
          return 'ok'
        } catch {
          return 'failed'
        }
      }
      figures.push(...(await measureOutage({ bao, attempt }, fewerRounds)))
    } finally {
      client.close()
    }
  }
  await plugin.stop()
  return [...figures, ...(await measureKeyring(folder.path, fewerRounds))]
}
