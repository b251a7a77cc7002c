import { type KeyringErrorCode } from '@sealwright/keyring'
import { type NodeConfigErrorCode } from '@sealwright/node-config'
import { type ProgramErrorCode } from '@sealwright/program'
import { type StoreErrorCode } from '@sealwright/seal-store'
import { type TpmErrorCode } from '@sealwright/tpm'
import { type BootstrapErrorCode } from './errors.ts'

type KnownCode =
  BootstrapErrorCode | KeyringErrorCode | NodeConfigErrorCode | ProgramErrorCode | StoreErrorCode | TpmErrorCode

const UNEXPECTED = 1
const CONFIGURATION = 2
const SEAL_KEY = 3
const OTHER_KEY = 4
const SEAL = 5
const STORE = 6

/** Nothing went wrong, but not every seal was proven to open: an operator must not destroy the seal key yet. */
export const NOT_PROVEN = 7

/** How the program ends for each error code; part of the contract with scripts. */
export const EXIT_CODES: Readonly<Record<KnownCode, number>> = {
  CONFIG_UNREADABLE: CONFIGURATION,
  CONFIG_UNSAFE: CONFIGURATION,
  CONFIG_SYNTAX: CONFIGURATION,
  CONFIG_INVALID: CONFIGURATION,
  SECRET_FILE_UNREADABLE: CONFIGURATION,
  SECRET_FILE_UNSAFE: CONFIGURATION,
  SECRET_FILE_SIZE: CONFIGURATION,
  KEYRING_NAME_TAKEN: CONFIGURATION, // a seal's name in the configuration
  KEYRING_INPUT_INVALID: CONFIGURATION, // the label

  BOOTSTRAP_KEY_MISSING: SEAL_KEY,
  BOOTSTRAP_KEY_UNREADABLE: SEAL_KEY,
  BOOTSTRAP_KEY_UNSAFE: SEAL_KEY,
  BOOTSTRAP_KEY_NEWLINE: SEAL_KEY,
  BOOTSTRAP_KEY_BASE64: SEAL_KEY,
  BOOTSTRAP_KEY_LENGTH: SEAL_KEY,
  BOOTSTRAP_KEY_ID: SEAL_KEY,
  KEYRING_SEAL_KEY_INVALID: SEAL_KEY,

  KEYRING_OTHER_KEY: OTHER_KEY,

  BOOTSTRAP_PROOF_FAILED: SEAL,
  TPM_UNREACHABLE: SEAL,
  TPM_TIMEOUT: SEAL,
  TPM_CANCELLED: SEAL,
  TPM_GONE: SEAL,
  TPM_BUSY: SEAL,
  TPM_NO_SPACE: SEAL,
  TPM_CLEARED: SEAL,
  TPM_REPLACED: SEAL,
  TPM_NAME_MISMATCH: SEAL,
  TPM_POLICY_WEAKER: SEAL,
  TPM_METHOD_REFUSED: SEAL,
  TPM_METHOD_MISMATCH: SEAL,
  TPM_BLOB_MALFORMED: SEAL,
  TPM_BLOB_CORRUPT: SEAL,
  TPM_PCR_MISMATCH: SEAL,
  TPM_PIN_REQUIRED: SEAL,
  TPM_PIN_WRONG: SEAL,
  TPM_PIN_UNKNOWN: SEAL,
  TPM_PIN_HELD_BACK: SEAL,
  TPM_LOCKOUT: SEAL,
  TPM_OWNER_AUTH: SEAL,
  TPM_RESPONSE_FORGED: SEAL,
  TPM_PROTOCOL: SEAL,
  TPM_INVALID_ARGUMENT: SEAL,
  TPM_RC: SEAL,

  KEYRING_MALFORMED: STORE,
  KEYRING_UNSUPPORTED: STORE,
  KEYRING_TOO_LARGE: STORE,
  KEYRING_RECORD_DAMAGED: STORE,
  KEYRING_NO_WAY_IN: STORE,
  KEYRING_LINEAGE_FORGED: STORE,
  KEYRING_AUTH_FAILED: STORE,
  KEYRING_RECORD_AUTH_FAILED: STORE,
  KEYRING_LINK_BROKEN: STORE,
  KEYRING_NO_RECORD: STORE,
  STORE_NOT_FOUND: STORE,
  STORE_NOT_A_FOLDER: STORE,
  STORE_MOVED: STORE,
  STORE_UNSAFE_PERMISSIONS: STORE,
  STORE_UNREADABLE: STORE,
  STORE_NOT_A_FILE: STORE,
  STORE_TOO_LARGE: STORE,
  STORE_KEYRING_MISSING: STORE,
  STORE_KEYRING_EMPTY: STORE,
  STORE_KEYRING_INVALID: STORE,
  STORE_UNKNOWN_FILES: STORE,
  STORE_CHANGED: STORE,
  STORE_PROOF_FAILED: STORE,
  STORE_READ_ONLY: STORE,
  STORE_DISK_FULL: STORE,
  STORE_PERMISSION_DENIED: STORE,
  STORE_WRITE_FAILED: STORE,
  STORE_IN_USE: STORE,
  STORE_LOCK_TIMEOUT: STORE,
  STORE_LOCK_FAILED: STORE,
  STORE_TOOL_MISSING: STORE,
  STORE_FILE_NOT_OURS: STORE,

  // Nothing that this program does can lead to these.
  KEYRING_OTHER_CLUSTER: UNEXPECTED,
  KEYRING_ORIGIN_UNPROVEN: UNEXPECTED,
  KEYRING_DIVERGED: UNEXPECTED,
  KEYRING_KEY_UNKNOWN: UNEXPECTED,
  KEYRING_CLOSED: UNEXPECTED,
}

export const EXIT_CODES_HELP = `
Exit codes: 0 done and proven, 1 unexpected error or unknown option, 2 configuration, 3 seal key missing or unusable, 4 the store
belongs to another key, 5 a seal does not do its part, 6 the seal store or the connector cannot be read or written,
7 done, but a seal was not proven to open (keep the seal key; it is 0 with --allow-unproven), 130 stopped by a signal.`
