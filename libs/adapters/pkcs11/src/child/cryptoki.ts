import type * as Pkcs11js from 'pkcs11js'
import { type Failure } from '../channel/failure.ts'

/** The names and numbers of PKCS#11, as pkcs11js has them. */
export type Cryptoki = typeof Pkcs11js

/** A module that is loaded and initialised. */
export type LoadedModule = { readonly cryptoki: Cryptoki; readonly lib: Pkcs11js.PKCS11 }

/** Why a request cannot be done, as it will be sent back. */
export class RequestFailure extends Error {
  override readonly name = 'RequestFailure'
  readonly failure: Failure

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.kind, options)
    this.failure = failure
  }
}

/** Calls one function of the module; another return value than CKR_OK becomes a {@link RequestFailure}. */
export function call<T>({ cryptoki }: LoadedModule, functionName: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw asFailure(cryptoki, functionName, error)
  }
}

/** As {@link call}, for functions that run on another thread. */
export async function callAsync<T>(
  { cryptoki }: LoadedModule,
  functionName: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw asFailure(cryptoki, functionName, error)
  }
}

/** The failure for a return value that we give ourselves, since the module would. */
export function ckrFailure(name: string, ckr: number, functionName: string): RequestFailure {
  return new RequestFailure({ kind: 'ckr', ckr, name, functionName })
}

/** The return value in `error`, if there is one. */
export function ckrOf(error: unknown): number | undefined {
  return error instanceof RequestFailure && error.failure.kind === 'ckr' ? error.failure.ckr : undefined
}

function asFailure(cryptoki: Cryptoki, functionName: string, error: unknown): unknown {
  if (!(error instanceof cryptoki.Pkcs11Error)) return error
  const name = error.message
  return new RequestFailure({ kind: 'ckr', ckr: error.code >>> 0, name, functionName }, { cause: error })
}

/** The same bytes as a Buffer, which is what pkcs11js takes. Not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
