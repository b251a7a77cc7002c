import { temporaryFolder } from '@sealwright/testing-rig'
import { type FigureReport } from './figure.ts'
import { type Growth } from './growth.ts'
import { measureEncryptRate } from './unseal/encrypt-rate.ts'
import { createNodesToCompare } from './unseal/four-seals.ts'
import { measureKeyringGrowth } from './unseal/keyring-growth.ts'
import { measureFourSeals, measureHangingSeal } from './unseal/opening.ts'

/** Opening with four seals, with one that hangs, `Encrypt` on its hot path, and keyrings of 1, 10 and 100 nodes. */
export async function benchUnseal(
  rounds: number,
): Promise<{ readonly figures: readonly FigureReport[]; readonly growths: readonly Growth[] }> {
  await using folder = await temporaryFolder()
  const fewerRounds = Math.max(3, Math.floor(rounds / 3))
  const figures: FigureReport[] = []
  {
    await using nodes = await createNodesToCompare(folder.path)
    figures.push(...(await measureFourSeals(nodes, rounds)))
    figures.push(...(await measureHangingSeal(nodes, fewerRounds)))
    figures.push(...(await measureEncryptRate(nodes.four, fewerRounds)))
  }
  return { figures, growths: await measureKeyringGrowth() }
}
