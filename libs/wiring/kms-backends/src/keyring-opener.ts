import { stat } from 'node:fs/promises'
import { assertOrigin, type Keyring, type OpenKmsKeyring } from '@sealwright/keyring'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import {
  classifySealFailure,
  type ConfiguredSeal,
  configuredSeals,
  openKmsThrough,
  refusedPins,
  type SealContext,
} from '@sealwright/node-seals'
import {
  mayTry,
  nextSealHealth,
  openByPriority,
  type SealAttempt,
  type SealFailure,
  type SealHealth,
} from '@sealwright/unseal'
import { type KeyringEvent } from './keyring-events.ts'
import { notOpened } from './keyring-failure.ts'

/** What a seal does when it is asked to open the keyring as it is stored. */
export type SealVerdict =
  | { readonly kind: 'opens'; readonly tookMs: number }
  | { readonly kind: 'fails'; readonly failure: SealFailure }
  /** It has failed before in a way that an operator has to mend; to try again could cost a try of a PIN. */
  | { readonly kind: 'not-tried'; readonly failure: SealFailure }

/** A seal, and what it does. */
export interface ExaminedSeal extends Pick<ConfiguredSeal, 'name' | 'type' | 'priority'> {
  readonly verdict: SealVerdict
}

/** The seals of one node, asked so that no PIN that was refused is sent again by itself. */
export interface KeyringOpener extends AsyncDisposable {
  /** Of those that are not disabled. */
  readonly sealNames: readonly string[]
  /**
   * Opens by the first seal that can, best priority first, each under its own deadline.
   *
   * @throws {KmsError} `KMS_BACKEND_UNAVAILABLE`, `KMS_BACKEND_REFUSED`.
   */
  readonly open: (
    keyring: Keyring,
    signal: AbortSignal,
  ) => Promise<{ readonly open: OpenKmsKeyring; readonly sealName: string }>
  /** Opens by each seal that may be tried, for real. */
  readonly examine: (keyring: Keyring, signal: AbortSignal) => Promise<readonly ExaminedSeal[]>
  /** Those that may be tried, and that remember whether a PIN was refused. */
  readonly willing: () => Promise<readonly ConfiguredSeal[]>
  /** Takes note of a failure in something else that a seal was asked for: only of what an operator has to mend. */
  readonly noteFailure: (sealName: string, failure: SealFailure) => void
  /** An operator changed something: every seal may be tried again. */
  readonly reload: () => void
}

/** How PIN files of the seals are told apart from what they were. */
type FileMark = string

function afterMs(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs).unref()
  return () => {
    clearTimeout(timer)
  }
}

/** @param onEvent - must not throw. */
export function keyringOpener(
  config: Pick<KeyringBackendConfig, 'seals' | 'clusterId'>,
  context: SealContext,
  onEvent: (event: KeyringEvent) => void,
): KeyringOpener {
  const all = configuredSeals(config, context)
  const pins = refusedPins((sealName, cause) => {
    onEvent({ kind: 'pin-refused', sealName, cause })
  })
  const seals = all.filter(({ disabled }) => !disabled).map(careful)
  const clusterId = config.clusterId === undefined ? undefined : Buffer.from(config.clusterId, 'hex')
  const healthByName = new Map<string, SealHealth>()
  /** As it was when the seal was last asked. */
  const pinFiles = new Map<string, FileMark>()

  function careful(seal: ConfiguredSeal): ConfiguredSeal {
    return {
      ...seal,
      withRecordedMember: (keyring, signal, use) =>
        seal.withRecordedMember(keyring, signal, (member, sealId) => use(pins.guard(seal.name, member), sealId)),
    }
  }

  const health = (name: string): SealHealth => healthByName.get(name) ?? { kind: 'untried' }

  const onAttempt = (attempt: SealAttempt): void => {
    const { sealName: name, tookMs } = attempt
    const atMs = Date.now()
    if (attempt.kind === 'opened') {
      healthByName.set(name, nextSealHealth(health(name), { kind: 'unwrapped', atMs, tookMs }))
      return
    }
    const { failure } = attempt
    healthByName.set(name, nextSealHealth(health(name), { kind: 'failed', atMs, failure }))
    onEvent({ kind: 'seal-failed', sealName: name, failure })
  }

  /** A PIN file that was changed may hold the right one now. */
  const reviveMended = async (): Promise<void> => {
    for (const { name } of seals.filter(seal => !mayTry(health(seal.name)))) {
      if (pinFiles.get(name) === (await pinFileMark(config, name))) continue
      healthByName.set(name, nextSealHealth(health(name), { kind: 'reloaded' }))
      pins.forget()
    }
  }

  const openThrough = async (seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<OpenKmsKeyring> => {
    const open = await openKmsThrough(seal, keyring, signal)
    assertOrigin(open, clusterId)
    return open
  }

  const tryThese = async (tried: readonly ConfiguredSeal[], keyring: Keyring, signal: AbortSignal) => {
    const named = tried.map(seal => ({
      ...{ name: seal.name, priority: seal.priority },
      prepare: () => seal.prepare?.(),
      open: (openSignal: AbortSignal) => openThrough(seal, keyring, openSignal),
    }))
    const now = () => performance.now()
    return await openByPriority(named, { signal, now, after: afterMs, classify: classifySealFailure, onAttempt })
  }

  const willing = async (): Promise<readonly ConfiguredSeal[]> => {
    await reviveMended()
    const chosen = seals.filter(({ name }) => mayTry(health(name)))
    // Before a PIN is read: should somebody mend it meanwhile, the seal is tried again.
    for (const { name } of chosen) pinFiles.set(name, await pinFileMark(config, name))
    return chosen
  }

  const verdictOf = async (seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<SealVerdict> => {
    const known = health(seal.name)
    if (known.kind === 'failing' && !mayTry(known)) return { kind: 'not-tried', failure: known.failure }
    const startedAtMs = performance.now()
    const outcome = await tryThese([seal], keyring, signal)
    if (outcome.kind === 'opened') return { kind: 'opens', tookMs: performance.now() - startedAtMs }
    const [failure] = outcome.failures
    if (failure === undefined) throw new TypeError('a seal that does not open has failed')
    return { kind: 'fails', failure }
  }

  const failures = (): ReadonlyMap<string, SealFailure> =>
    new Map(
      seals.flatMap(({ name }) => {
        const known = health(name)
        return known.kind === 'failing' ? [[name, known.failure] as const] : []
      }),
    )

  return {
    sealNames: seals.map(({ name }) => name),
    willing,
    async open(keyring, signal) {
      const outcome = await tryThese(await willing(), keyring, signal)
      if (outcome.kind === 'opened') return { open: outcome.opened, sealName: outcome.sealName }
      throw notOpened(failures())
    },
    async examine(keyring, signal) {
      await willing()
      const examined: ExaminedSeal[] = []
      for (const seal of seals) {
        const { name, type, priority } = seal
        examined.push({ name, type, priority, verdict: await verdictOf(seal, keyring, signal) })
      }
      return examined
    },
    noteFailure(sealName, failure) {
      if (failure.kind !== 'operator') return
      healthByName.set(sealName, nextSealHealth(health(sealName), { kind: 'failed', atMs: Date.now(), failure }))
    },
    reload() {
      for (const [name, known] of healthByName) healthByName.set(name, nextSealHealth(known, { kind: 'reloaded' }))
      pins.forget()
    },
    async [Symbol.asyncDispose]() {
      await using rest = new AsyncDisposableStack()
      for (const seal of all) rest.use(seal)
    },
  }
}

/** What changes with the PIN file of a seal; the same for ever where it has none. */
async function pinFileMark({ seals }: Pick<KeyringBackendConfig, 'seals'>, sealName: string): Promise<FileMark> {
  const seal = seals.find(({ name }) => name === sealName)
  if (seal === undefined || !('pinFile' in seal) || seal.pinFile === undefined) return 'no file'
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(seal.pinFile, { bigint: true })
    return [ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return 'out of reach'
  }
}
