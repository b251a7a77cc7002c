import { type TpmAddress, type TpmSealConfig } from '@sealwright/node-config'
import { randomKeyBytes, type Secret } from '@sealwright/secret'
import { type TpmAccess, type TpmTransport } from '@sealwright/tpm'

/** How to reach the TPM of a seal. */
export function tpmAccess(config: Pick<TpmSealConfig, 'tpm' | 'deadlineMs'>, ownerAuth?: Secret): TpmAccess {
  return {
    transport: transportOf(config.tpm),
    timeoutMs: config.deadlineMs,
    // Session keys are made of them, so they stay off the JavaScript heap.
    randomBytes: randomKeyBytes,
    ...(ownerAuth === undefined ? {} : { ownerAuth }),
  }
}

function transportOf(address: TpmAddress): TpmTransport {
  if ('device' in address) return { kind: 'device', path: address.device }
  if ('socket' in address) return { kind: 'unix', path: address.socket }
  return { kind: 'tcp', host: address.host, port: address.port }
}
