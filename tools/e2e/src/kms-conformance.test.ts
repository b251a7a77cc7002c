import { chmod, writeFile } from 'node:fs/promises'
import {
  createPluginNode,
  initKeyring,
  KMS_KEY,
  keyringBackendFields,
  type PluginNode,
  softHsmSeal,
  startTransitOpenBao,
  swtpmSeal,
  type TransitOpenBao,
  transitSeal,
} from '@sealwright/testing-kms'
import { programCommand } from '@sealwright/testing-cluster'
import { openBaoPath } from '@sealwright/testing-rig'
import { conformanceCases, runConformance, troubleOf } from './kms-kit.ts'
import { testScope } from './test-scope.ts'

// The whole conformance kit against the bundled plugin, on each kind of backend: what Kubernetes, gRPC and HTTP/2 demand, what a
// provider should promise beside that, malformed requests of all kinds, hostile clients, and a rotation under way.
const scope = testScope()

/** A plugin that serves, and what belongs to its key. */
interface Subject {
  readonly plugin: PluginNode
  /** Makes a new version of the key. */
  readonly rotateCommand: string
  /** Texts of its configuration that no refusal may hold. */
  readonly forbidden: readonly string[]
}

const backends: readonly (readonly [string, () => Promise<Subject>])[] = [
  ['transit', onTransit],
  ['a keyring that an HSM opens', async () => await onKeyring([await anHsm()])],
  ['a keyring that a TPM opens', async () => await onKeyring([await aTpm()])],
  [
    'a keyring that an HSM, a TPM or another OpenBao opens',
    async () => {
      const bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
      return await onKeyring([await anHsm(), await aTpm(), transitSeal(bao)])
    },
  ],
]

describe.each(backends)('the bundled plugin on %s', (_, start) => {
  it('passes every case of the conformance kit', async () => {
    const { plugin, rotateCommand, forbidden } = await start()
    const results = await runConformance({ socketPath: plugin.socketPath, rotateCommand, forbidden })
    expect(results.filter(({ outcome }) => outcome !== 'passed').map(troubleOf)).toEqual([])
    expect(results.map(({ id }) => id)).toEqual(await conformanceCases())
    // It has survived all that.
    expect(await plugin.ask('/readyz')).toEqual({ status: 200, text: 'ok\n' })
    expect(plugin.process().end()).toBeUndefined()
  })
})

async function onTransit(): Promise<Subject> {
  const bao = scope.use(await startTransitOpenBao({ directory: scope.folder.join('bao') }))
  const token = await bao.writeToken()
  const plugin = await startPlugin(bao.backend())
  const forbidden = [KMS_KEY, new URL(bao.node.apiAddress).host, token, bao.tokenFile, plugin.socketPath]
  return { plugin, forbidden, rotateCommand: await rotateByOpenBao(bao) }
}

/** OpenBao's own command line, which finds its operator's token in a file. */
async function rotateByOpenBao(bao: TransitOpenBao): Promise<string> {
  await writeFile(scope.folder.join('.vault-token'), bao.rootToken, { mode: 0o600 })
  return await script([
    `export HOME='${scope.folder.path}' BAO_ADDR='${bao.node.apiAddress}'`,
    `exec '${openBaoPath()}' write -f transit/keys/${KMS_KEY}/rotate`,
  ])
}

async function onKeyring(seals: readonly Readonly<Record<string, unknown>>[]): Promise<Subject> {
  const backend = keyringBackendFields(scope.folder.path, seals)
  const plugin = await startPlugin(backend, initKeyring)
  const { command, args } = programCommand('sealctl')
  const sealctl = [command, ...args].map(part => `'${part}'`).join(' ')
  const rotateCommand = await script([
    `exec ${sealctl} kms keyring rotate --hand-out 0 --config '${plugin.configPath}'`,
  ])
  return { plugin, rotateCommand, forbidden: [scope.folder.path, plugin.socketPath, ...addressesIn(seals)] }
}

async function anHsm(): Promise<Readonly<Record<string, unknown>>> {
  return await softHsmSeal(scope.folder.join('hsm'))
}

async function aTpm(): Promise<Readonly<Record<string, unknown>>> {
  const { seal, tpm } = await swtpmSeal(scope.folder.path)
  scope.afterwards(async () => {
    await tpm.stop()
  })
  return seal
}

async function startPlugin(
  backend: Readonly<Record<string, unknown>>,
  prepare: (plugin: PluginNode) => Promise<void> = async () => {
    await Promise.resolve()
  },
): Promise<PluginNode> {
  const plugin = scope.use(
    await createPluginNode({ directory: scope.folder.join('node'), name: 'kms-plugin', backend }),
  )
  await prepare(plugin)
  await plugin.start()
  return plugin
}

/** A shell script; its path. */
async function script(lines: readonly string[]): Promise<string> {
  const path = scope.folder.join('rotate.sh')
  await writeFile(path, ['#!/bin/sh', ...lines, ''].join('\n'))
  await chmod(path, 0o700)
  return path
}

function addressesIn(seals: readonly Readonly<Record<string, unknown>>[]): readonly string[] {
  return seals.flatMap(({ address }) => (typeof address === 'string' ? [new URL(address).host] : []))
}
