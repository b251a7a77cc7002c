import { hex } from '@sealwright/bytes'
import { currentGeneration } from '@sealwright/keyring'
import { type BootstrapReport } from './bootstrap.ts'
import { type PlacedConnector } from './connector.ts'
import { type KnownDevice } from './known-devices.ts'
import { type SealReport, unprovenSeals } from './try-seals.ts'

/** All that a run has to say. Nothing in it is secret. */
export interface RunReport {
  readonly storePath: string
  readonly bootstrap: BootstrapReport
  /** Whether a seal key was handed over: only then is there one to keep. */
  readonly hasSealKey: boolean
  readonly connector: PlacedConnector | undefined
  /** What was not right, though it was used. */
  readonly warnings: readonly string[]
}

/** One line of JSON; part of the contract with scripts. */
export function toJson({ storePath, bootstrap, connector, warnings }: RunReport): string {
  const { result, keyring, seals, devices } = bootstrap
  const { number: generation, keyId } = currentGeneration(keyring)
  return `${JSON.stringify({
    result,
    proven: unprovenSeals(seals).length === 0,
    store: storePath,
    clusterId: hex(keyring.clusterId),
    generation,
    keyId,
    seals: seals.map(seal => {
      const { name, state } = seal
      const failure = state === 'fails' ? { code: seal.failure.code, message: seal.failure.message } : {}
      return {
        name,
        state,
        ...failure,
        storageKeyNames: (devices.get(name) ?? []).map(device => device.storageKeyName),
      }
    }),
    connector,
    warnings,
  })}\n`
}

const RESULT_TEXT: Readonly<Record<BootstrapReport['result'], string>> = {
  created: 'wrapped the seal key and wrote the seal store',
  extended: 'enrolled this TPM, beside the ways in that were there',
  renewed:
    'sealed anew under the conditions that are configured now; older copies of the store open as they did before',
  unchanged: 'nothing was changed',
}

/** Said of a store that was not touched, if each seal opens it. */
const ALL_IS_WELL = 'the seal store holds all it should; nothing was changed'

/** The same for people. What nobody must overlook comes first. */
export function toText({ storePath, bootstrap, hasSealKey, connector, warnings }: RunReport): string {
  const { result, seals, devices } = bootstrap
  const unproven = unprovenSeals(seals)
  const lines = [
    ...(unproven.length === 0
      ? []
      : [`NOT PROVEN to open: ${unproven.map(inShort).join(', ')}${hasSealKey ? KEEP_THE_KEY : ''}`]),
    ...warnings.map(warning => `warning: ${warning}`),
    `${storePath}: ${result === 'unchanged' && unproven.length === 0 ? ALL_IS_WELL : RESULT_TEXT[result]}`,
    ...seals.flatMap(seal => [sealLine(seal), ...deviceLines(seal.name, devices.get(seal.name) ?? [])]),
    ...(result === 'extended' || result === 'renewed' ? [TELL_THE_AGENT] : []),
    ...(connector === undefined ? [] : connectorLines(connector)),
  ]
  return `${lines.join('\n')}\n`
}

/** An agent that serves needs nothing, and one that waits may have been told not to try again by itself. */
const TELL_THE_AGENT = 'if an agent of this node waits: kill -HUP it, and it tries again at once'

const KEEP_THE_KEY = '; keep the seal key: do not destroy it yet'

function deviceLines(sealName: string, devices: readonly KnownDevice[]): readonly string[] {
  return devices.map(({ storageKeyName, isPresent }) => {
    const mark = isPresent && devices.length > 1 ? ' (this TPM)' : ''
    return `seal ${sealName}: storageKeyName: "${storageKeyName}"${mark}`
  })
}

function inShort(seal: Exclude<SealReport, { state: 'opens' }>): string {
  return `seal ${seal.name} (${seal.state === 'fails' ? seal.failure.code : 'not tried'})`
}

function sealLine(seal: SealReport): string {
  switch (seal.state) {
    case 'opens':
      return `seal ${seal.name}: opens, proven just now`
    case 'fails':
      return `seal ${seal.name}: NOT PROVEN: ${seal.failure.code}: ${seal.failure.message}`
    case 'not-tried':
      return `seal ${seal.name}: NOT PROVEN: not tried, since it has a PIN; the agent will`
  }
}

function connectorLines({ path, outcome, sha256, carriedSha256 }: PlacedConnector): readonly string[] {
  const lines = [`${path}: ${outcome}, sha256sum = "${sha256}"`]
  if (carriedSha256 === undefined) return lines
  return [
    ...lines,
    `${path}: this version carries another one, sha256sum = "${carriedSha256}": to take it, put that sum into OpenBao's ` +
      'configuration, run this again with --replace-connector, and restart OpenBao',
  ]
}
