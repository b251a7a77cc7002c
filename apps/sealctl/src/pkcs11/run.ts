import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { hex } from '@sealwright/bytes'
import { type SealContext } from '@sealwright/node-seals'
import {
  generateAesKey,
  generateRsaKeyPair,
  initialiseToken,
  listPkcs11Keys,
  listPkcs11Tokens,
  type Pkcs11Key,
  type Pkcs11Module,
  type Pkcs11Token,
  type TokenSelector,
} from '@sealwright/pkcs11'
import { type CommandResult } from '../command.ts'
import { type CommandContext } from '../context.ts'
import { plain, table } from '../render/plain.ts'
import { usableType } from './key-type.ts'
import { pinSource } from './pins.ts'
import { requireToken, type Source, type SourceOptions, sourceOf, withModule } from './source.ts'

/** What `sealctl pkcs11 generate-key` is told. */
export interface GenerateKeyOptions extends SourceOptions {
  readonly label: string
  readonly type?: 'aes' | 'rsa'
  readonly bits: 2048 | 3072 | 4096
}

/** What `sealctl pkcs11 init-token` is told. */
export interface InitTokenOptions extends SourceOptions {
  readonly label: string
  readonly soPinFile?: string
}

/** The world of these commands. */
export interface Pkcs11Context {
  readonly context: CommandContext
  readonly sealContext: SealContext
}

const QUANTUM_NOTE =
  'What an RSA key has sealed does not outlast quantum computers: keep snapshots where nobody copies them, or use a token with AES-GCM.\n'

/** @throws {@link Pkcs11CommandError}; {Pkcs11Error}; as all below. */
export async function tokens(
  options: SourceOptions,
  { context: { signal }, sealContext }: Pkcs11Context,
): Promise<CommandResult> {
  const source = await sourceOf(options)
  const found = await withModule(source, sealContext, module =>
    listPkcs11Tokens(module, { signal, timeoutMs: source.timeoutMs }),
  )
  const { manufacturer, description, version } = found.module
  const rows = found.tokens.map(token => [
    token.isInitialised ? token.label : '(blank)',
    token.serialNumber,
    `${token.manufacturer} ${token.model}`,
    token.hasAesGcm ? 'yes' : 'no',
    token.hasRsaOaep ? 'yes' : 'no',
  ])
  const list =
    rows.length === 0
      ? 'no token is in its slots: plug one in, or see the settings of the module\n'
      : table([['LABEL', 'SERIAL NUMBER', 'MODEL', 'AES-GCM', 'RSA-OAEP'], ...rows])
  return {
    text: `module: ${plain(`${manufacturer} ${description} ${version}`)} (${plain(source.modulePath)})\n${list}`,
    json: { module: { path: source.modulePath, ...found.module }, tokens: found.tokens },
  }
}

export async function keys(options: SourceOptions, { context, sealContext }: Pkcs11Context): Promise<CommandResult> {
  const source = await sourceOf(options)
  const token = requireToken(source)
  using pins = pinSource(context)
  using pin = await pins.existing(inWords(token), source.pinFile)
  const { timeoutMs } = source
  const found = await withModule(source, sealContext, module =>
    listPkcs11Keys({ module, token, pin, timeoutMs }, { signal: context.signal }),
  )
  const rows = found.map(key => [key.label, hex(key.id), kindOf(key), protection(key)])
  return {
    text:
      rows.length === 0
        ? 'no secret or private key is on the token: make one with sealctl pkcs11 generate-key\n'
        : table([['LABEL', 'CKA_ID', 'KEY', 'PROTECTION'], ...rows]),
    json: { token, keys: found.map(keyView) },
  }
}

export async function generateKey(
  options: GenerateKeyOptions,
  { context, sealContext }: Pkcs11Context,
): Promise<CommandResult> {
  const source = await sourceOf(options)
  const token = requireToken(source)
  const { label, bits } = options
  const { timeoutMs } = source
  const { signal } = context
  using pins = pinSource(context)
  using pin = await pins.existing(inWords(token), source.pinFile)
  const { key, type } = await withModule(source, sealContext, async module => {
    const made = { module, token, pin, timeoutMs }
    const type = usableType(await meantToken(module, token, { signal, timeoutMs }), options.type)
    const key =
      type === 'aes'
        ? await generateAesKey(made, { label, randomBytes }, { signal })
        : await generateRsaKeyPair(made, { label, randomBytes, modulusBits: bits }, { signal })
    return { key, type }
  })
  const mechanism = type === 'aes' ? 'aes-gcm' : 'rsa-oaep'
  return {
    text:
      `${kindOf(key)} ${plain(key.label)} is on the token ${plain(inWords(token))}, and cannot leave it.\n` +
      `${type === 'rsa' ? QUANTUM_NOTE : ''}${nextStep(source, token, key, mechanism)}`,
    json: { token, key: keyView(key), mechanism },
  }
}

export async function initToken(
  options: InitTokenOptions,
  { context, sealContext }: Pkcs11Context,
): Promise<CommandResult> {
  const source = await sourceOf(options)
  const { label, tokenSerial, soPinFile, pinFile } = options
  using pins = pinSource(context)
  using soPin = await pins.chosen('the security officer', soPinFile)
  using pin = await pins.chosen('the user', pinFile)
  const newToken = { label, soPin, pin, ...(tokenSerial === undefined ? {} : { serialNumber: tokenSerial }) }
  const made = await withModule(source, sealContext, module =>
    initialiseToken(module, newToken, { signal: context.signal, timeoutMs: source.timeoutMs }),
  )
  return {
    text:
      `the token ${plain(made.label)} (${plain(made.serialNumber)}) is set up. Keep the PIN of the security officer apart from it: it sets a ` +
      `new PIN where the user’s is locked.\nNext: sealctl pkcs11 generate-key --token-label ${JSON.stringify(made.label)} --label NAME, with the same module\n`,
    json: { token: made },
  }
}

async function meantToken(
  module: Pkcs11Module,
  selector: TokenSelector,
  limits: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Pkcs11Token | undefined> {
  const found = await listPkcs11Tokens(module, limits)
  return found.tokens.find(token =>
    'label' in selector ? token.label === selector.label : token.serialNumber === selector.serialNumber,
  )
}

/** What is to be written into `node.yaml`. */
function nextStep(
  { modulePath, environment, pinFile, sealName }: Source,
  token: TokenSelector,
  key: Pkcs11Key,
  mechanism: string,
): string {
  if (sealName !== undefined) {
    return `Give the seal ${plain(sealName)} of node.yaml  key: { id: "${hex(key.id)}" }  and  mechanism: ${mechanism}\n`
  }
  const named =
    'label' in token ? `label: ${JSON.stringify(token.label)}` : `serialNumber: ${JSON.stringify(token.serialNumber)}`
  const lines = [
    '- name: hsm',
    '  type: pkcs11',
    '  priority: 20',
    `  module: ${JSON.stringify(resolve(modulePath))}`,
    `  token: { ${named} }`,
    `  key: { id: "${hex(key.id)}" }`,
    `  mechanism: ${mechanism}`,
    `  pinFile: ${JSON.stringify(resolve(pinFile ?? '/etc/sealwright/hsm.pin'))}`,
    ...(Object.keys(environment).length === 0 ? [] : [`  environment: ${JSON.stringify(environment)}`]),
  ]
  return `Among the seals of node.yaml, then sealctl seals add hsm:\n\n${lines.map(line => `  ${line}\n`).join('')}`
}

function keyView(key: Pkcs11Key) {
  const { kind, label, bits, isSensitive, isExtractable, wasNeverExtractable, isLocal } = key
  return { id: hex(key.id), label, kind, bits, isSensitive, isExtractable, wasNeverExtractable, isLocal }
}

function kindOf({ kind, bits }: Pkcs11Key): string {
  if (kind === 'other') return 'another kind of key'
  return bits === 0 ? kind.toUpperCase() : `${kind.toUpperCase()}-${bits}`
}

function protection({ isExtractable, isSensitive, wasNeverExtractable, isLocal }: Pkcs11Key): string {
  if (isExtractable === true || isSensitive === false) return 'CAN BE TAKEN OFF THE TOKEN'
  if (wasNeverExtractable === true && isLocal === true) return 'made there, never left it'
  return isLocal === false ? 'brought to the token' : 'cannot leave the token'
}

function inWords(token: TokenSelector): string {
  return 'label' in token ? token.label : `with serial number ${token.serialNumber}`
}
