import { readVectors } from '@sealwright/testing-vectors'

import { shareSecret } from './ecdh.ts'
import { TpmWireError } from './errors.ts'
import { decodeResponse, encodeCommand, responseSizeBytes } from './frame.ts'
import { kdfA, kdfE } from './kdf.ts'
import { type PcrValue, pcrDigest } from './pcr.ts'
import { emptyPolicyDigest, policyAuthValue, policyAuthorize, policyPcr } from './policy.ts'
import { decodePublic, encodePublic, objectName } from './public-area.ts'
import { TpmReader } from './reader.ts'
import { decodeRc } from './response-code.ts'
import { commandParameterHash, decryptParameter, responseParameterHash, sessionHmac, sessionKey } from './session.ts'
import { ENDORSEMENT_KEY_TEMPLATE, STORAGE_KEY_TEMPLATE } from './templates.ts'
import { sized } from './writer.ts'

const names = readVectors('tpm', 'names.json', { publicArea: 'hex', objectName: 'hex' })

describe('public areas made by other tools', () => {
  it.each(names)('have the name that the TPM gives them, and come out as they went in: $name', vector => {
    expect(objectName(vector.publicArea)).toEqual(vector.objectName)
    expect(encodePublic(decodePublic(vector.publicArea))).toEqual(vector.publicArea)
  })

  it('are refused at every truncation', () => {
    for (const { publicArea } of names) {
      for (let length = 0; length < publicArea.length; length++) {
        expect(() => decodePublic(publicArea.subarray(0, length))).toThrow(TpmWireError)
      }
    }
  })

  it.each([
    [0, STORAGE_KEY_TEMPLATE],
    [1, ENDORSEMENT_KEY_TEMPLATE],
  ])('are those of our templates: vector %i', (index, template) => {
    const area = decodePublic(names[index]?.publicArea ?? new Uint8Array(0))
    expect({ ...area, unique: template.unique }).toEqual(template)
  })

  const refused = readVectors('tpm', 'refused-public.json', { publicArea: 'hex', code: 'text' })
  it.each(refused)('are refused with a code for $name', ({ publicArea, code }) => {
    expect(() => decodePublic(publicArea)).toThrow(expect.objectContaining({ code }) as Error)
  })
})

describe('policy digests', () => {
  const vectors = readVectors('tpm', 'policies.json', {
    kind: 'text',
    policy: 'hex',
    pcrs: 'json?',
    values: 'json?',
    signerName: 'hex?',
    policyRef: 'hex?',
  })

  it.each(vectors)('are those of tpm2-tools: $name', ({ kind, policy, pcrs, values, signerName, policyRef }) => {
    const start = emptyPolicyDigest()
    switch (kind) {
      case 'pcr': {
        const indices = pcrs as number[]
        const recorded: PcrValue[] = (values as string[]).map((value, position) => ({
          index: indices[position] ?? -1,
          value: Uint8Array.from(Buffer.from(value, 'hex')),
        }))
        expect(policyPcr(start, indices, pcrDigest(recorded))).toEqual(policy)
        return
      }
      case 'authValue':
        expect(policyAuthValue(start)).toEqual(policy)
        return
      default:
        expect(kind).toBe('authorize')
        expect(policyAuthorize(signerName ?? start, policyRef ?? start)).toEqual(policy)
    }
  })
})

describe('key derivation', () => {
  const vectors = readVectors('tpm', 'kdf.json', {
    function: 'text',
    key: 'hex',
    label: 'text',
    contextU: 'hex',
    contextV: 'hex',
    bits: 'number',
    output: 'hex',
  })

  it.each(vectors)('agrees with another implementation: $name', vector => {
    const derive = vector.function === 'kdfA' ? kdfA : kdfE
    expect(derive(vector.key, vector.label, vector.contextU, vector.contextV, vector.bits)).toEqual(vector.output)
  })
})

describe('a session', () => {
  const [vector] = readVectors('tpm', 'session.json', {
    ephemeralPrivateKey: 'hex',
    storageKeyX: 'hex',
    storageKeyY: 'hex',
    encryptedSalt: 'hex',
    salt: 'hex',
    startNonceCaller: 'hex',
    startNonceTpm: 'hex',
    sessionKey: 'hex',
    commandCode: 'number',
    handleName: 'hex',
    olderNonceTpm: 'hex',
    nonceCaller: 'hex',
    commandAttributes: 'number',
    commandHmac: 'hex',
    nonceTpm: 'hex',
    responseAttributes: 'number',
    responseHmac: 'hex',
    responseParameters: 'hex',
    plaintext: 'hex',
  })
  if (vector === undefined) throw new Error('the session vector is missing')

  it('has the salt and the key that the TPM came to', () => {
    const storageKey = { x: vector.storageKeyX, y: vector.storageKeyY }
    const shared = shareSecret(storageKey, 'SECRET', () => Uint8Array.from(vector.ephemeralPrivateKey))
    expect(shared).toEqual({ secret: vector.salt, encryptedSecret: vector.encryptedSalt })
    expect(sessionKey(vector.salt, vector.startNonceTpm, vector.startNonceCaller)).toEqual(vector.sessionKey)
  })

  it('authorises a command as the TPM accepted it', () => {
    const cpHash = commandParameterHash(vector.commandCode, [vector.handleName], new Uint8Array(0))
    const nonces = { newer: vector.nonceCaller, older: vector.olderNonceTpm }
    expect(sessionHmac(vector.sessionKey, cpHash, nonces, vector.commandAttributes)).toEqual(vector.commandHmac)
  })

  it('checks and decrypts a response as the TPM made it', () => {
    const nonces = { newer: vector.nonceTpm, older: vector.nonceCaller }
    const rpHash = responseParameterHash(0, vector.commandCode, vector.responseParameters)
    expect(sessionHmac(vector.sessionKey, rpHash, nonces, vector.responseAttributes)).toEqual(vector.responseHmac)
    const ciphertext = new TpmReader(vector.responseParameters).sized(128)
    expect(decryptParameter(vector.sessionKey, nonces, ciphertext)).toEqual(vector.plaintext)
  })

  it('cannot be salted to a point that is not on the curve', () => {
    const offCurve = { x: vector.storageKeyX, y: vector.storageKeyX }
    expect(() => shareSecret(offCurve, 'SECRET', () => Uint8Array.from(vector.ephemeralPrivateKey))).toThrow(
      expect.objectContaining({ code: 'TPM_WIRE_RANGE' }) as Error,
    )
  })

  it('is not salted at all with a random source that yields nothing', () => {
    const storageKey = { x: vector.storageKeyX, y: vector.storageKeyY }
    expect(() => shareSecret(storageKey, 'SECRET', count => new Uint8Array(count))).toThrow(
      expect.objectContaining({ code: 'TPM_WIRE_RANGE' }) as Error,
    )
  })
})

describe('frames recorded from a TPM', () => {
  const vectors = readVectors('tpm', 'frames.json', { command: 'hex', response: 'hex', handleCount: 'number' })

  it.each(vectors)('are taken apart, and refused at every truncation: $name', ({ response, handleCount }) => {
    const shape = { handleCount, hasSession: true }
    const decoded = decodeResponse(response, shape)
    expect(decoded.handles).toHaveLength(handleCount)
    expect(decoded.auth?.hmac).toHaveLength(32)
    expect(responseSizeBytes(response)).toBe(response.length)
    for (let length = 0; length < response.length; length++) {
      expect(() => decodeResponse(response.subarray(0, length), shape)).toThrow(TpmWireError)
    }
  })

  it.each(vectors)('are written as the TPM took them: $name', ({ command }) => {
    const reader = new TpmReader(command)
    reader.bytes(6)
    const commandCode = reader.u32()
    const handles = [reader.u32()]
    reader.u32() // size of the authorisation area
    const auth = {
      sessionHandle: reader.u32(),
      nonceCaller: reader.sized(64),
      attributes: reader.u8(),
      hmac: reader.sized(64),
    }
    const parameters = reader.bytes(reader.remainingBytes)
    expect(encodeCommand({ commandCode, handles, auth, parameters })).toEqual(command)
  })

  it('too long for a TPM are not written', () => {
    const parameters = sized(new Uint8Array(4096))
    expect(() => encodeCommand({ commandCode: 1, handles: [], auth: undefined, parameters })).toThrow(
      expect.objectContaining({ code: 'TPM_WIRE_RANGE' }) as Error,
    )
  })
})

describe('response codes', () => {
  const vectors = readVectors('tpm', 'response-codes.json', { rc: 'number', decoded: 'text' })

  it.each(vectors)('complain about what tpm2_rc_decode says: $name, $decoded', ({ rc, decoded }) => {
    const { subject, name } = decodeRc(rc)
    const told = /^tpm:(parameter|handle|session)\((\d+)\)/.exec(decoded)
    expect(subject).toEqual(told === null ? undefined : { kind: told[1], index: Number(told[2]) })
    expect(name).toMatch(/^TPM_RC_[A-Z]/)
  })

  it.each([
    [0x1df, 'TPM_RC_INTEGRITY'],
    [0x99d, 'TPM_RC_POLICY_FAIL'],
    [0x98e, 'TPM_RC_AUTH_FAIL'],
    [0x9a2, 'TPM_RC_BAD_AUTH'],
    [0x921, 'TPM_RC_LOCKOUT'],
    [0x922, 'TPM_RC_RETRY'],
    [0xb0143, 'TPM_RC_0xb0143'],
  ])('are named: %i is %s', (rc, name) => {
    expect(decodeRc(rc).name).toBe(name)
  })
})
