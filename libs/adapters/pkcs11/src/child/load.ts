import { type ModuleFacts } from '../channel/facts.ts'
import { CKR_CRYPTOKI_ALREADY_INITIALIZED } from '../ckr.ts'
import { call, ckrOf, type Cryptoki, type LoadedModule, RequestFailure } from './cryptoki.ts'

/**
 * Loads a module and initialises it for several threads.
 *
 * pkcs11js is imported here and not before: its native part must not get into the process of whoever only imports this library.
 *
 * @throws {@link RequestFailure} of kind `not-loaded` or `not-ready`.
 */
export async function loadModule(modulePath: string): Promise<LoadedModule> {
  const cryptoki = await importCryptoki()
  const lib = new cryptoki.PKCS11()
  const loaded = { cryptoki, lib }
  try {
    lib.load(modulePath)
    call(loaded, 'C_Initialize', () => {
      lib.C_Initialize({ flags: cryptoki.CKF_OS_LOCKING_OK })
    })
  } catch (error) {
    if (ckrOf(error) !== CKR_CRYPTOKI_ALREADY_INITIALIZED) throw moduleFailure(error)
  }
  return loaded
}

/** What the module says about itself (C_GetInfo). */
export function readModuleFacts(loaded: LoadedModule): ModuleFacts {
  const info = call(loaded, 'C_GetInfo', () => loaded.lib.C_GetInfo())
  return {
    manufacturer: trimPadding(info.manufacturerID),
    description: trimPadding(info.libraryDescription),
    version: `${info.libraryVersion.major}.${info.libraryVersion.minor}`,
  }
}

/** Without the spaces that fill up a text of fixed length (PKCS#11 v2.40, clause 3.2), or the zeros that some modules use. */
export function trimPadding(padded: string): string {
  return padded.replace(/[ \0]+$/, '')
}

async function importCryptoki(): Promise<Cryptoki> {
  try {
    return (await import('pkcs11js')).default
  } catch (cause) {
    const reason = `pkcs11js cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new RequestFailure({ kind: 'not-loaded', reason }, { cause })
  }
}

function moduleFailure(cause: unknown): RequestFailure {
  if (cause instanceof RequestFailure && cause.failure.kind === 'ckr') {
    const { functionName, name } = cause.failure
    return new RequestFailure({ kind: 'not-ready', reason: `${functionName} failed with ${name}` }, { cause })
  }
  return new RequestFailure(
    { kind: 'not-loaded', reason: cause instanceof Error ? cause.message : String(cause) },
    { cause },
  )
}
