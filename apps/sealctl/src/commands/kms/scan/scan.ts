import { type EtcdOptions, type EtcdReader, openEtcd } from '@sealwright/etcd'
import { type EtcdLookedAt } from '@sealwright/kms-backends'
import { type CommandContext, write } from '../../../context.ts'
import { type KeyFacts } from '../key-facts.ts'
import { type EtcdCommandOptions, etcdOptions } from './etcd-options.ts'
import { openTally, type Tally } from './tally.ts'

/** Keys of each group that `--verbose` shows. */
const EXAMPLES = 5
/** Between two looks at how far a scan is. */
const PROGRESS_INTERVAL_MS = 200

/** What was scanned. */
export interface Scan {
  readonly tally: Tally
  readonly etcd: EtcdLookedAt
  readonly revision: number
  readonly startedAtMs: number
}

export interface ScanOptions extends EtcdCommandOptions {
  readonly prefix: string
  /** Whether the names of some objects of each kind are kept. */
  readonly verbose: boolean
}

/** Looks through etcd. @throws {SealctlError} as `etcdOptions`; {EtcdError}. */
export async function scanEtcd(key: KeyFacts, options: ScanOptions, context: CommandContext): Promise<Scan> {
  const { signal } = context
  const startedAtMs = context.now().getTime()
  const keeper = openTally(key, { examples: options.verbose ? EXAMPLES : 0 })
  const progress = openProgress(context)
  let seen: { readonly clusterId: string; readonly revision: number } = { clusterId: '', revision: 0 }
  const reached = await etcdOptions(options)
  await using etcd = openAndWipe(reached)
  let objects = 0
  try {
    for await (const { entries, total, clusterId, revision } of etcd.scan(Buffer.from(options.prefix), { signal })) {
      for (const entry of entries) objects = keeper.add(entry)
      seen = { clusterId, revision }
      await progress.show(objects, total)
    }
  } finally {
    await progress.end()
  }
  // What is no plain address was refused before.
  const endpoints = reached.endpoints.map(endpoint => new URL(endpoint).origin)
  const { clusterId, revision } = seen
  return { tally: keeper.tally(), etcd: { clusterId, endpoints }, revision, startedAtMs }
}

/** It has a copy of the private key of its own. */
function openAndWipe(options: EtcdOptions): EtcdReader {
  try {
    return openEtcd(options)
  } finally {
    options.clientCertificate?.privateKeyPem.wipe()
  }
}

/** Shows on a terminal how far a scan is. */
function openProgress({ stderr }: CommandContext) {
  let shownAtMs = -Infinity
  let isShown = false
  return {
    show: async (objects: number, total: number): Promise<void> => {
      const nowMs = performance.now()
      if (stderr.isTTY !== true || nowMs - shownAtMs < PROGRESS_INTERVAL_MS) return
      shownAtMs = nowMs
      isShown = true
      await write(stderr, `\r${objects} of ${total} objects`)
    },
    end: async (): Promise<void> => {
      if (isShown) await write(stderr, '\r\n')
    },
  }
}
