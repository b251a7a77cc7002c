import { type BootstrapReport } from './bootstrap.ts'
import { type PlacedConnector } from './connector.ts'
import { type SealReport } from './try-seals.ts'

/** All that a run has to say. Nothing in it is secret. */
export interface RunReport {
  readonly storePath: string
  readonly bootstrap: BootstrapReport
  readonly connector: PlacedConnector | undefined
}

/** One line of JSON; part of the contract with scripts. */
export function toJson({ storePath, bootstrap: { result, keyring, seals, devices }, connector }: RunReport): string {
  const generation = keyring.currentGeneration
  return `${JSON.stringify({
    result,
    store: storePath,
    clusterId: Buffer.from(keyring.clusterId).toString('hex'),
    generation,
    keyId: keyring.generations.find(({ number }) => number === generation)?.keyId,
    seals: seals.map(seal => {
      const { name, state } = seal
      const failure = state === 'fails' ? { code: seal.failure.code, message: seal.failure.message } : {}
      return { name, state, ...failure, storageKeyNames: devices.get(name) ?? [] }
    }),
    connector,
  })}\n`
}

const RESULT_TEXT: Readonly<Record<BootstrapReport['result'], string>> = {
  created: 'wrapped the seal key and wrote the seal store',
  extended: 'gave a seal of this node a new way in, beside those that were there',
  renewed:
    'sealed anew under the conditions that are configured now; older copies of the store still open without them',
  unchanged: 'the seal store holds all it should; nothing was changed',
}

/** The same for people. */
export function toText({ storePath, bootstrap: { result, seals, devices }, connector }: RunReport): string {
  const lines = [
    `${storePath}: ${RESULT_TEXT[result]}`,
    ...seals.flatMap(seal => [
      sealLine(seal),
      ...(devices.get(seal.name) ?? []).map(name => `seal ${seal.name}: storageKeyName: "${name}"`),
    ]),
    ...(connector === undefined ? [] : [`${connector.path}: ${connector.outcome}, sha256sum = "${connector.sha256}"`]),
  ]
  return `${lines.join('\n')}\n`
}

function sealLine(seal: SealReport): string {
  switch (seal.state) {
    case 'opens':
      return `seal ${seal.name}: opens, proven just now`
    case 'fails':
      return `seal ${seal.name}: NOT PROVEN: ${seal.failure.code}: ${seal.failure.message}`
    case 'not-tried':
      return `seal ${seal.name}: not tried, since it has a PIN; the agent will`
  }
}
