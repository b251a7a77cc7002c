import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { type DecryptRequest, type EncryptResponse, type StatusResponse } from '@sealwright/kms-v2'
import { Secret } from '@sealwright/secret'

/** The messages of the protocol (proto/v2/api.proto) from the side of kube-apiserver. Readers throw what the protobuf library throws. */

const { LengthDelimited } = WireType

export function encodeEncryptRequest(plaintext: Secret, uid: string): Uint8Array {
  return plaintext.reveal(bytes => field(field(new BinaryWriter(), 1, bytes), 2, uid).finish())
}

export function encodeDecryptRequest({ ciphertext, uid, keyId, annotations }: DecryptRequest): Uint8Array {
  const request = field(field(field(new BinaryWriter(), 1, ciphertext), 2, uid), 3, keyId)
  for (const [name, value] of annotations)
    field(request, 4, field(field(new BinaryWriter(), 1, name), 2, value).finish())
  return request.finish()
}

export function decodeStatus(message: Uint8Array): Omit<StatusResponse, 'version'> & { readonly version: string } {
  const fields = textFields(message, 3)
  return { version: fields[0] ?? '', healthz: fields[1] ?? '', keyId: fields[2] ?? '' }
}

export function decodeEncryptResponse(message: Uint8Array): EncryptResponse {
  let ciphertext: Uint8Array = new Uint8Array()
  let keyId = ''
  const annotations = new Map<string, Uint8Array>()
  readFields(message, (number, reader) => {
    if (number === 1) ciphertext = reader.bytes()
    else if (number === 2) keyId = reader.string()
    else if (number === 3) addAnnotation(annotations, reader.bytes())
    else return false
    return true
  })
  return { ciphertext, keyId, annotations }
}

/** The caller's, who wipes it. Overwrites `message`. */
export function decodeDecryptResponse(message: Uint8Array): Secret {
  let plaintext: Uint8Array = new Uint8Array()
  try {
    readFields(message, (number, reader) => {
      if (number !== 1) return false
      plaintext = Uint8Array.from(reader.bytes())
      return true
    })
    return new Secret(plaintext)
  } finally {
    message.fill(0)
  }
}

function addAnnotation(annotations: Map<string, Uint8Array>, entry: Uint8Array): void {
  let name = ''
  let value: Uint8Array = new Uint8Array()
  readFields(entry, (number, reader) => {
    if (number === 1) name = reader.string()
    else if (number === 2) value = reader.bytes()
    else return false
    return true
  })
  annotations.set(name, value)
}

function textFields(message: Uint8Array, highest: number): readonly string[] {
  const texts: string[] = Array.from({ length: highest }, () => '')
  readFields(message, (number, reader) => {
    if (number > highest) return false
    texts[number - 1] = reader.string()
    return true
  })
  return texts
}

/** @param take - reads the value, or returns false for a field that it does not know. */
function readFields(message: Uint8Array, take: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(message)
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag()
    if (wireType !== LengthDelimited || !take(number, reader)) reader.skip(wireType, number)
  }
}

function field(writer: BinaryWriter, number: number, value: Uint8Array | string): BinaryWriter {
  const tagged = writer.tag(number, LengthDelimited)
  return typeof value === 'string' ? tagged.string(value) : tagged.bytes(value)
}
