import { type KmsFigures } from './kms/story.ts'
import { type ParallelFigures } from './parallel/story.ts'
import { type LabFigures, type StoryStep } from './story.ts'

/** The steps as a table: what happened, and how long it took. */
export function renderSteps(steps: readonly StoryStep[]): string {
  const width = Math.max(...steps.map(({ what }) => what.length))
  return steps.map(({ what, tookMs }) => `  ${what.padEnd(width)}  ${renderMs(tookMs).padStart(9)}\n`).join('')
}

/** What was proved, in three lines. */
export function renderProof(figures: LabFigures): string {
  const { nodes, unsealedAfterRestart, quorumHealthy, secretIntact, tpmUnsealMs } = figures
  return [
    `  ${unsealedAfterRestart} of ${nodes} nodes unsealed themselves, each from its own TPM (unwrap in ${tpmUnsealMs} ms)`,
    `  quorum ${quorumHealthy ? 'healthy' : 'NOT HEALTHY'}, secret ${secretIntact ? 'intact' : 'LOST'}`,
    '',
  ].join('\n')
}

/** What the story of Parallel Unseal proved. */
export function renderParallelProof(figures: ParallelFigures): string {
  const { opened, rotationsWithOneOffline, recoveredFromSnapshotWithSharesOnly: isRecovered, secretIntact } = figures
  return [
    `  each of ${opened.join(', ')} opened the whole cluster alone; so did one that was away during ${rotationsWithOneOffline} rotations`,
    `  a new machine ${isRecovered ? 'recovered everything' : 'RECOVERED NOTHING'} from a snapshot and shares alone`,
    `  a cluster with a static seal was ${figures.staticTakenOverWithoutMigration ? 'taken over without migration' : 'NOT TAKEN OVER'}`,
    `  secret ${secretIntact ? 'intact' : 'LOST'}`,
    '',
  ].join('\n')
}

/** What the story of the KMS plugin proved. */
export function renderKmsProof(figures: KmsFigures): string {
  const { inClearWithPlugin, secretIntact, secretsReadAfterRetirement } = figures
  return [
    `  etcd holds the value ${inClearWithPlugin ? 'IN CLEAR' : 'encrypted'}; ${figures.apiServers} API servers read it, after kill -9 of everything too (${renderMs(figures.coldStartMs)})`,
    `  without OpenBao: a read takes ${figures.readWithoutOpenBaoMs} ms; a changed bit is refused in ${figures.tamperedDecryptRefusedMicroseconds} µs`,
    `  an API server that was started meanwhile was ready ${renderMs(figures.healedByItselfMs)} after OpenBao was back`,
    `  a new key version was active on both nodes within ${figures.activationSpreadMs} ms, ${renderMs(figures.newVersionActiveAfterMs)} after the rotation`,
    `  the old one was retired: ${figures.secretsLeftBehind} Secrets left behind, ${secretsReadAfterRetirement} read after a restart of everything`,
    `  secret ${secretIntact ? 'intact' : 'LOST'}`,
    '',
  ].join('\n')
}

/** Milliseconds below a second, else seconds. */
export function renderMs(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(2)} s`
}
