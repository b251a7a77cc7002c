import { MAX_LIST_ENTRIES, type TokenFacts } from '../channel/facts.ts'
import { call, type LoadedModule } from './cryptoki.ts'
import { trimPadding } from './load.ts'

/** The tokens in all slots (C_GetSlotList, C_GetTokenInfo, C_GetMechanismInfo). One that goes away meanwhile is left out. */
export function listTokens(loaded: LoadedModule): readonly TokenFacts[] {
  const { lib } = loaded
  const slots = call(loaded, 'C_GetSlotList', () => lib.C_GetSlotList(true))
  return slots.slice(0, MAX_LIST_ENTRIES).flatMap(slot => {
    const token = readToken(loaded, slot)
    return token === undefined ? [] : [token]
  })
}

function readToken(loaded: LoadedModule, slot: Buffer): TokenFacts | undefined {
  const { lib, cryptoki } = loaded
  try {
    const info = lib.C_GetTokenInfo(slot)
    return {
      slot,
      label: trimPadding(info.label),
      manufacturer: trimPadding(info.manufacturerID),
      model: trimPadding(info.model),
      serialNumber: trimPadding(info.serialNumber),
      flags: info.flags,
      hasAesGcm: decryptsWith(loaded, slot, cryptoki.CKM_AES_GCM),
      hasRsaOaep: decryptsWith(loaded, slot, cryptoki.CKM_RSA_PKCS_OAEP),
    }
  } catch (error) {
    if (error instanceof cryptoki.Pkcs11Error) return undefined
    throw error
  }
}

function decryptsWith(loaded: LoadedModule, slot: Buffer, mechanism: number): boolean {
  const { lib, cryptoki } = loaded
  try {
    return (lib.C_GetMechanismInfo(slot, mechanism).flags & cryptoki.CKF_DECRYPT) !== 0
  } catch (error) {
    // That is how a token says that it does not know a mechanism.
    if (error instanceof cryptoki.Pkcs11Error) return false
    throw error
  }
}
