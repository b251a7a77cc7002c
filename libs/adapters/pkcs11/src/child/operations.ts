import { type Answers, type Operation, type Requests } from '../channel/requests.ts'
import { CKR_SESSION_HANDLE_INVALID, CKR_USER_ALREADY_LOGGED_IN } from '../ckr.ts'
import { decrypt, encrypt } from './cipher.ts'
import { asBuffer, call, ckrFailure, ckrOf, type LoadedModule, RequestFailure } from './cryptoki.ts'
import { findKeys } from './keys.ts'
import { loadModule, readModuleFacts } from './load.ts'
import { initToken } from './init-token.ts'
import { generateAesKey, generateRsaKeyPair } from './provisioning.ts'
import { openSessionPool, type SessionPool } from './session-pool.ts'
import { listTokens } from './tokens.ts'

/** What does the requests. Holds the module, the sessions and with them the login; keeps no PIN and no key. */
export type Worker = {
  do<O extends Operation>(operation: O, request: Requests[O]): Promise<Answers[O]>
  /** Closes the sessions and ends the use of the module (C_Finalize), in good order. */
  close(): Promise<void>
}

const decoder = new TextDecoder('utf-8', { fatal: true })

export function createWorker(): Worker {
  let loading: Promise<LoadedModule> | undefined
  const pools = new Map<string, SessionPool>()
  const keyOf = (slot: Uint8Array): string => Buffer.from(slot).toString('hex')

  async function loaded(): Promise<LoadedModule> {
    if (loading === undefined) throw new RequestFailure({ kind: 'other', reason: 'no module is loaded yet' })
    return await loading
  }

  async function onSession<T>(
    slot: Uint8Array,
    work: (module: LoadedModule, session: Buffer) => T | Promise<T>,
  ): Promise<T> {
    const module = await loaded()
    const pool = pools.get(keyOf(slot))
    if (pool === undefined) {
      throw ckrFailure('CKR_SESSION_HANDLE_INVALID', CKR_SESSION_HANDLE_INVALID, 'C_OpenSession')
    }
    return await pool.use(session => work(module, session))
  }

  const operations: { readonly [O in Operation]: (request: Requests[O]) => Promise<Answers[O]> } = {
    load: async ({ modulePath }) => {
      if (loading !== undefined) throw new RequestFailure({ kind: 'other', reason: 'a module is loaded already' })
      loading = loadModule(modulePath)
      return readModuleFacts(await loading)
    },
    listTokens: async () => listTokens(await loaded()),
    openSessions: async ({ slot, count }) => {
      const module = await loaded()
      const key = keyOf(slot)
      pools.get(key)?.close()
      pools.delete(key)
      pools.set(key, openSessionPool(module, copyOf(slot), count))
      return undefined
    },
    logIn: async ({ slot, pin }) => {
      await onSession(slot, (module, session) => {
        logIn(module, session, pin)
      })
      return undefined
    },
    findKeys: async ({ slot, query }) => await onSession(slot, (module, session) => findKeys(module, session, query)),
    encrypt: async request => await onSession(request.slot, (module, session) => encrypt(module, session, request)),
    decrypt: async request => await onSession(request.slot, (module, session) => decrypt(module, session, request)),
    generateAesKey: async request => {
      await generateAesKey(await loaded(), request)
      return undefined
    },
    generateRsaKeyPair: async request => {
      await generateRsaKeyPair(await loaded(), request)
      return undefined
    },
    initToken: async request => {
      initToken(await loaded(), request)
      return undefined
    },
  }

  return {
    do: async (operation, request) => await operations[operation](request),
    close: async () => {
      if (loading === undefined) return
      for (const pool of pools.values()) pool.close()
      const module = await loading
      call(module, 'C_Finalize', () => {
        module.lib.C_Finalize()
      })
    },
  }
}

/**
 * C_Login as the normal user. pkcs11js takes a PIN as a string and nothing else, so that here, and here alone, one is made. It
 * is not kept, and cannot be wiped: one more reason why this is a process of its own.
 */
function logIn(module: LoadedModule, session: Buffer, pin: Uint8Array): void {
  const { lib, cryptoki } = module
  try {
    call(module, 'C_Login', () => {
      lib.C_Login(session, cryptoki.CKU_USER, decoder.decode(pin))
    })
  } catch (error) {
    if (ckrOf(error) !== CKR_USER_ALREADY_LOGGED_IN) throw error
  }
}

/** The request's own bytes are overwritten once it is answered. */
function copyOf(bytes: Uint8Array): Buffer {
  return asBuffer(Uint8Array.from(bytes))
}
