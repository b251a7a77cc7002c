/**
 * Constants of the TPM 2.0 Library, family 2.0, revision 1.59, with its own spelling.
 * Only what this library uses is listed.
 */

/** TPM_ALG_ID (Part 2, clause 6.3). */
export const TPM_ALG_AES = 0x0006
export const TPM_ALG_KEYEDHASH = 0x0008
export const TPM_ALG_SHA256 = 0x000b
export const TPM_ALG_NULL = 0x0010
export const TPM_ALG_ECDSA = 0x0018
export const TPM_ALG_ECC = 0x0023
export const TPM_ALG_CFB = 0x0043

/** TPM_ECC_CURVE (Part 2, clause 6.4). */
export const TPM_ECC_NIST_P256 = 0x0003

/** TPM_CC (Part 2, clause 6.5.2). */
export const TPM_CC_CreatePrimary = 0x0000_0131
export const TPM_CC_Create = 0x0000_0153
export const TPM_CC_Import = 0x0000_0156
export const TPM_CC_Load = 0x0000_0157
export const TPM_CC_Unseal = 0x0000_015e
export const TPM_CC_FlushContext = 0x0000_0165
export const TPM_CC_LoadExternal = 0x0000_0167
export const TPM_CC_PolicyAuthorize = 0x0000_016a
export const TPM_CC_PolicyAuthValue = 0x0000_016b
export const TPM_CC_StartAuthSession = 0x0000_0176
export const TPM_CC_VerifySignature = 0x0000_0177
export const TPM_CC_GetCapability = 0x0000_017a
export const TPM_CC_GetRandom = 0x0000_017b
export const TPM_CC_PCR_Read = 0x0000_017e
export const TPM_CC_PolicyPCR = 0x0000_017f
export const TPM_CC_PolicyGetDigest = 0x0000_0189

/** TPM_ST (Part 2, clause 6.9). */
export const TPM_ST_NO_SESSIONS = 0x8001
export const TPM_ST_SESSIONS = 0x8002
export const TPM_ST_CREATION = 0x8021
export const TPM_ST_VERIFIED = 0x8022

/** TPM_SE (Part 2, clause 6.11). */
export const TPM_SE_HMAC = 0x00
export const TPM_SE_POLICY = 0x01
export const TPM_SE_TRIAL = 0x03

/** TPM_CAP (Part 2, clause 6.12). */
export const TPM_CAP_HANDLES = 0x0000_0001
export const TPM_CAP_TPM_PROPERTIES = 0x0000_0006

/** TPM_PT (Part 2, clause 6.13). */
export const TPM_PT_MANUFACTURER = 0x0000_0105
export const TPM_PT_VENDOR_STRING_1 = 0x0000_0106
export const TPM_PT_VENDOR_STRING_4 = 0x0000_0109
export const TPM_PT_FIRMWARE_VERSION_1 = 0x0000_010b
export const TPM_PT_FIRMWARE_VERSION_2 = 0x0000_010c
export const TPM_PT_PERMANENT = 0x0000_0200
export const TPM_PT_LOCKOUT_COUNTER = 0x0000_020e
export const TPM_PT_MAX_AUTH_FAIL = 0x0000_020f
export const TPM_PT_LOCKOUT_INTERVAL = 0x0000_0210

/** TPMA_PERMANENT: the TPM is in lockout (Part 2, clause 8.6). */
export const TPMA_PERMANENT_inLockout = 1 << 9

/** TPM_RH (Part 2, clause 7.4). */
export const TPM_RH_OWNER = 0x4000_0001
export const TPM_RH_NULL = 0x4000_0007
/** TPM_RS_PW: a password instead of a session (Part 2, clause 7.4). */
export const TPM_RS_PW = 0x4000_0009
export const TPM_RH_ENDORSEMENT = 0x4000_000b

/** First handles of each kind (Part 2, clause 7.5). */
export const HMAC_SESSION_FIRST = 0x0200_0000
export const POLICY_SESSION_FIRST = 0x0300_0000
export const TRANSIENT_FIRST = 0x8000_0000

/** TPMA_OBJECT (Part 2, clause 8.3). */
export const TPMA_OBJECT_fixedTPM = 1 << 1
export const TPMA_OBJECT_fixedParent = 1 << 4
export const TPMA_OBJECT_sensitiveDataOrigin = 1 << 5
export const TPMA_OBJECT_userWithAuth = 1 << 6
export const TPMA_OBJECT_adminWithPolicy = 1 << 7
export const TPMA_OBJECT_noDA = 1 << 10
export const TPMA_OBJECT_restricted = 1 << 16
export const TPMA_OBJECT_decrypt = 1 << 17
export const TPMA_OBJECT_sign = 1 << 18
/** Every bit of TPMA_OBJECT that revision 1.59 gives a meaning to. */
export const TPMA_OBJECT_known = 0x000f_0cf6

/** TPMA_SESSION (Part 2, clause 8.4). */
export const TPMA_SESSION_continueSession = 0x01
export const TPMA_SESSION_decrypt = 0x20
export const TPMA_SESSION_encrypt = 0x40

/** Length of a SHA-256 digest, of our nonces, of an AES-256 key and of a P-256 coordinate, in bytes. */
export const SHA256_BYTES = 32
/** Length of a name with SHA-256: TPM_ALG_ID (2) and digest (32) (Part 1, clause 16). */
export const NAME_BYTES = 34
/** Length of a P-256 coordinate in bytes, always padded (Part 1, clause C.8). */
export const P256_COORDINATE_BYTES = 32
/** The most bytes a TPM seals: MAX_SYM_DATA (Part 2, clause 11.1.13). */
export const MAX_SEALED_BYTES = 128
/** Upper bound for one command or response on the wire: what the reference implementation and Linux use. */
export const MAX_FRAME_BYTES = 4096
