import { OpenBaoError } from '../error.ts'
import { TransitError, type TransitErrorCode } from '../transit/error.ts'
import { type KeyVerb } from '../transit/key-paths.ts'
import { deniedOrExpired, type KeyPlace, says, transitErrorOf } from '../transit/translate.ts'

type Words = readonly [TransitErrorCode, string]

/**
 * Turns what a call threw into the words for whoever runs the plugin. Where a seal would advise to open by another seal, this says what to
 * do about the key. What is no error of the client stays as it is: a bug.
 */
export function poolErrorOf(error: unknown, place: KeyPlace, verb: KeyVerb): unknown {
  const words = error instanceof OpenBaoError ? wordsFor(error, place, verb) : undefined
  if (words === undefined || !(error instanceof OpenBaoError)) return transitErrorOf(error, place)
  const [code, advice] = words
  return new TransitError(code, `the OpenBao at ${place.address}: ${error.message}: ${advice}`, { cause: error })
}

/** Undefined: nothing that the seals would not say in the same words. */
function wordsFor(error: OpenBaoError, place: KeyPlace, verb: KeyVerb): Words | undefined {
  if (error.code === 'OPENBAO_PERMISSION_DENIED') {
    return ['TRANSIT_DENIED', deniedOrExpired(place, policyLine(place, verb))]
  }
  if (error.code === 'OPENBAO_NOT_FOUND' && error.serverErrors.length === 0) return missingWords(place)
  return error.code === 'OPENBAO_BAD_REQUEST' ? badRequestWords(error, place) : undefined
}

/** As it is written in a policy, so that it can be copied. */
function policyLine({ mountPath, keyName }: KeyPlace, verb: KeyVerb): string {
  return `path "${mountPath}/${verb}/${keyName}" { capabilities = ["${verb === 'keys' ? 'read' : 'update'}"] }`
}

/** Texts of OpenBao 2.7.2. One that another version words anew is `TRANSIT_REQUEST_REFUSED`, with its reason. */
function badRequestWords({ serverErrors }: OpenBaoError, place: KeyPlace): Words | undefined {
  const { keyName } = place
  const said = (pattern: RegExp): boolean => says(serverErrors, pattern)
  if (said(/encryption key not found/)) return missingWords(place)
  if (said(/disallowed by policy \(too old\)/)) {
    return [
      'TRANSIT_KEY_VERSION',
      `lower min_decryption_version of ${keyName} until nothing is left that was encrypted by the older version; never trim it before`,
    ]
  }
  if (said(/version is too new|higher than the latest key version/)) {
    return [
      'TRANSIT_VERSION_TOO_NEW',
      `${keyName} has no such version: an older copy of it was restored, or this node lags behind; it is tried again`,
    ]
  }
  if (said(/less than the minimum encryption key version|no such key version/)) {
    return [
      'TRANSIT_VERSION_NOT_ENCRYPTING',
      `min_encryption_version of ${keyName} is above it, or it was trimmed away`,
    ]
  }
  if (said(/message authentication failed|invalid ciphertext/)) {
    return [
      'TRANSIT_CIPHERTEXT_REFUSED',
      `${keyName} is another key than the one that encrypted this (made again under the same name, or a key of another OpenBao), or what was encrypted was changed`,
    ]
  }
  return undefined
}

function missingWords({ keyName }: KeyPlace): Words {
  return [
    'TRANSIT_KEY_MISSING',
    `there is no key ${keyName}: correct its configured name, or restore it from its backup`,
  ]
}
