import type { AesGCM, Mechanism as Pkcs11Mechanism, RsaOAEP } from 'pkcs11js'
import { allocateKeyBytes } from '@sealwright/secret'
import { type Answers, type Mechanism, type Requests } from '../channel/requests.ts'
import { type OaepHash } from '../oaep-hash.ts'
import { asBuffer, call, callAsync, type LoadedModule } from './cryptoki.ts'

const TAG_BYTES = 16
const TAG_BITS = 8 * TAG_BYTES
/** The longest result that a key of 16,384 bits gives, in bytes. */
const MAX_RSA_BYTES = 2048
/** Where the label of RSA-OAEP comes from: the parameter itself (pkcs11t.h). */
const CKZ_DATA_SPECIFIED = 1

/** C_EncryptInit and C_Encrypt, the latter off the main thread. */
export async function encrypt(
  loaded: LoadedModule,
  session: Buffer,
  { handle, mechanism, data }: Requests['encrypt'],
): Promise<Answers['encrypt']> {
  const { lib } = loaded
  // The module may keep a pointer to the IV until C_Encrypt has returned, and may write there.
  const iv = mechanism.kind === 'aes-gcm' ? copyOf(mechanism.iv) : Buffer.alloc(0)
  const parameter = pkcs11Mechanism(loaded, mechanism, iv)
  call(loaded, 'C_EncryptInit', () => {
    lib.C_EncryptInit(session, parameter, asBuffer(handle))
  })
  const output = asBuffer(allocateKeyBytes(mechanism.kind === 'aes-gcm' ? data.byteLength + TAG_BYTES : MAX_RSA_BYTES))
  const input = asBuffer(data)
  const ciphertext = await callAsync(loaded, 'C_Encrypt', () => lib.C_EncryptAsync(session, input, output))
  keepAlive(input, parameter)
  return { iv, ciphertext }
}

/**
 * C_DecryptInit and C_Decrypt, the latter off the main thread.
 *
 * @returns a view into memory of its own, which the caller wipes.
 */
export async function decrypt(
  loaded: LoadedModule,
  session: Buffer,
  { handle, mechanism, data }: Requests['decrypt'],
): Promise<Uint8Array> {
  const { lib } = loaded
  const iv = mechanism.kind === 'aes-gcm' ? copyOf(mechanism.iv) : Buffer.alloc(0)
  const parameter = pkcs11Mechanism(loaded, mechanism, iv)
  call(loaded, 'C_DecryptInit', () => {
    lib.C_DecryptInit(session, parameter, asBuffer(handle))
  })
  // SoftHSM wants room for the whole ciphertext, and tpm2-pkcs11 takes no more than the modulus has.
  const output = asBuffer(allocateKeyBytes(data.byteLength))
  try {
    const input = asBuffer(data)
    const plaintext = await callAsync(loaded, 'C_Decrypt', () => lib.C_DecryptAsync(session, input, output))
    keepAlive(input, parameter)
    return plaintext
  } catch (error) {
    output.fill(0)
    throw error
  }
}

function pkcs11Mechanism({ cryptoki }: LoadedModule, mechanism: Mechanism, iv: Buffer): Pkcs11Mechanism {
  if (mechanism.kind === 'aes-gcm') {
    const aad = copyOf(mechanism.aad)
    // CK_GCM_PARAMS (PKCS#11, AES-GCM Authenticated Encryption / Decryption), with ulIvBits as in all headers since v2.40.
    const gcm: AesGCM = { type: cryptoki.CK_PARAMS_GCM, iv, ivBits: 8 * iv.byteLength, aad, tagBits: TAG_BITS }
    return { mechanism: cryptoki.CKM_AES_GCM, parameter: gcm }
  }
  // CK_RSA_PKCS_OAEP_PARAMS (PKCS#11, PKCS #1 RSA OAEP mechanism parameters) without a label, which SoftHSM refuses.
  const { hashAlg, mgf } = oaepNumbers(mechanism.hash)
  const oaep: RsaOAEP = { type: cryptoki.CK_PARAMS_RSA_OAEP, hashAlg, mgf, source: CKZ_DATA_SPECIFIED }
  return { mechanism: cryptoki.CKM_RSA_PKCS_OAEP, parameter: oaep }

  function oaepNumbers(hash: OaepHash): { hashAlg: number; mgf: number } {
    switch (hash) {
      case 'sha1':
        return { hashAlg: cryptoki.CKM_SHA_1, mgf: cryptoki.CKG_MGF1_SHA1 }
      case 'sha256':
        return { hashAlg: cryptoki.CKM_SHA256, mgf: cryptoki.CKG_MGF1_SHA256 }
      case 'sha384':
        return { hashAlg: cryptoki.CKM_SHA384, mgf: cryptoki.CKG_MGF1_SHA384 }
      case 'sha512':
        return { hashAlg: cryptoki.CKM_SHA512, mgf: cryptoki.CKG_MGF1_SHA512 }
    }
  }
}

/**
 * Keeps memory that the module still works on from being collected: pkcs11js passes pointers to the other thread and holds
 * on to nothing.
 */
function keepAlive(...used: readonly object[]): number {
  return used.length
}

/** In memory of its own that does not move: the module works on it outside the main thread. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = allocateKeyBytes(bytes.byteLength)
  copy.set(bytes)
  return asBuffer(copy)
}
