import { type NodeConfig, type Pkcs11SealConfig } from '@sealwright/node-config'
import { type SealContext } from '@sealwright/node-seals'
import { pkcs11Module, type Pkcs11Module, type TokenSelector } from '@sealwright/pkcs11'
import { loadNodeConfig } from '@sealwright/program'
import { Pkcs11CommandError } from './errors.ts'

/** Which module and token are meant, as the options of a command say. */
export interface SourceOptions {
  readonly config: string
  /** Name of a seal of the configuration: its module, token and PIN. */
  readonly seal?: string
  /** The module itself, where there is no configuration yet. */
  readonly module?: string
  /** Names and values of its environment. */
  readonly moduleEnv?: readonly (readonly [string, string])[]
  readonly tokenLabel?: string
  readonly tokenSerial?: string
  readonly pinFile?: string
  /** Limit of one operation, in seconds. */
  readonly timeout: number
}

/** The same, complete as far as it can be. */
export interface Source {
  readonly modulePath: string
  readonly environment: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly token: TokenSelector | undefined
  readonly pinFile: string | undefined
  /** The seal that it is from, if any. */
  readonly sealName: string | undefined
}

/**
 * The module that an option names, else that of a seal of the configuration: the one that is named, or the only one.
 *
 * @throws {@link Pkcs11CommandError} `PKCS11_COMMAND_NO_MODULE`; {NodeConfigError}.
 */
export async function sourceOf(options: SourceOptions): Promise<Source> {
  const { module: modulePath, moduleEnv = [], pinFile } = options
  const timeoutMs = options.timeout * 1_000
  const token = tokenOf(options)
  if (modulePath !== undefined) {
    return { modulePath, environment: Object.fromEntries(moduleEnv), timeoutMs, token, pinFile, sealName: undefined }
  }
  const seal = sealOf(await loadNodeConfig(options.config), options.seal)
  return {
    ...{ modulePath: seal.module, environment: seal.environment, timeoutMs, sealName: seal.name },
    ...{ token: token ?? seal.token, pinFile: pinFile ?? seal.pinFile },
  }
}

function tokenOf({ tokenLabel, tokenSerial }: SourceOptions): TokenSelector | undefined {
  if (tokenSerial !== undefined) return { serialNumber: tokenSerial }
  return tokenLabel === undefined ? undefined : { label: tokenLabel }
}

function sealOf({ seals }: NodeConfig, name: string | undefined): Pkcs11SealConfig {
  const candidates = seals.filter(seal => seal.type === 'pkcs11')
  const meant = name === undefined ? candidates : candidates.filter(seal => seal.name === name)
  const [only] = meant
  if (only !== undefined && meant.length === 1) return only
  const names = candidates.map(seal => seal.name).join(', ') || 'none'
  throw new Pkcs11CommandError(
    'PKCS11_COMMAND_NO_MODULE',
    `${name === undefined ? 'nothing says which module is meant' : `node.yaml has no PKCS#11 seal ${name}`}: name its file with --module, or ` +
      `a PKCS#11 seal of node.yaml with --seal (there: ${names})`,
  )
}

/** @throws {@link Pkcs11CommandError} `PKCS11_COMMAND_NO_TOKEN`. */
export function requireToken({ token }: Source): TokenSelector {
  if (token !== undefined) return token
  throw new Pkcs11CommandError(
    'PKCS11_COMMAND_NO_TOKEN',
    'nothing says which token is meant: name it with --token-label or --token-serial; see sealctl pkcs11 tokens',
  )
}

/** Runs `use` with the module in a process of its own, which ends with it. */
export async function withModule<T>(
  { modulePath, environment }: Source,
  { pkcs11Program }: SealContext,
  use: (module: Pkcs11Module) => Promise<T>,
): Promise<T> {
  const module = pkcs11Module({ modulePath, spawn: { ...pkcs11Program, environment } })
  try {
    return await use(module)
  } finally {
    await module.close()
  }
}
