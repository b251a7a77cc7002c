import type { Session as GrapheneSession } from 'graphene-pk11'
import { type Requests } from '../channel/requests.ts'
import { asBuffer, call, ckrFailure, type LoadedModule } from './cryptoki.ts'
import { CKR_SLOT_ID_INVALID } from '../ckr.ts'

type Graphene = Awaited<ReturnType<typeof importGraphene>>

/** 65,537, big-endian. */
const PUBLIC_EXPONENT = Buffer.of(1, 0, 1)
const AES_KEY_BYTES = 32

/** Makes an AES-256 key that never leaves the token and does nothing but encrypt and decrypt (C_GenerateKey). */
export async function generateAesKey(loaded: LoadedModule, request: Requests['generateAesKey']): Promise<void> {
  await withWritableSession(loaded, request.slot, (session, graphene) => {
    session.generateKey(graphene.KeyGenMechanism.AES, {
      ...whatBothHave(request),
      class: graphene.ObjectClass.SECRET_KEY,
      keyType: graphene.KeyType.AES,
      valueLen: AES_KEY_BYTES,
      private: true,
      sensitive: true,
      extractable: false,
      encrypt: true,
      decrypt: true,
      sign: false,
      verify: false,
      wrap: false,
      unwrap: false,
      derive: false,
    })
  })
}

/** Makes an RSA key pair whose private half never leaves the token and does nothing but decrypt (C_GenerateKeyPair). */
export async function generateRsaKeyPair(loaded: LoadedModule, request: Requests['generateRsaKeyPair']): Promise<void> {
  await withWritableSession(loaded, request.slot, (session, graphene) => {
    session.generateKeyPair(
      graphene.KeyGenMechanism.RSA,
      {
        ...whatBothHave(request),
        class: graphene.ObjectClass.PUBLIC_KEY,
        keyType: graphene.KeyType.RSA,
        modulusBits: request.modulusBits,
        publicExponent: PUBLIC_EXPONENT,
        encrypt: true,
        verify: false,
        wrap: false,
      },
      {
        ...whatBothHave(request),
        class: graphene.ObjectClass.PRIVATE_KEY,
        keyType: graphene.KeyType.RSA,
        private: true,
        sensitive: true,
        extractable: false,
        decrypt: true,
        sign: false,
        unwrap: false,
      },
    )
  })
}

function whatBothHave({ id, label }: Requests['generateAesKey']): { token: boolean; id: Buffer; label: string } {
  return { token: true, id: asBuffer(id), label }
}

/** The login is that of the read-only sessions, which stay open meanwhile. */
async function withWritableSession(
  loaded: LoadedModule,
  slot: Uint8Array,
  use: (session: GrapheneSession, graphene: Graphene) => void,
): Promise<void> {
  const graphene = await importGraphene()
  const module = new graphene.Module(loaded.lib)
  const slots = module.getSlots(true)
  const found = Array.from({ length: slots.length }, (_, index) => slots.items(index)).find(
    ({ handle }) => Buffer.compare(handle, slot) === 0,
  )
  if (found === undefined) throw ckrFailure('CKR_SLOT_ID_INVALID', CKR_SLOT_ID_INVALID, 'C_GetSlotList')
  const session = call(loaded, 'C_OpenSession', () =>
    found.open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION),
  )
  try {
    call(loaded, 'C_GenerateKey', () => {
      use(session, graphene)
    })
  } finally {
    call(loaded, 'C_CloseSession', () => {
      session.close()
    })
  }
}

/** Imported only when it is needed: what seals and opens does without it. */
async function importGraphene() {
  return (await import('graphene-pk11')).default
}
