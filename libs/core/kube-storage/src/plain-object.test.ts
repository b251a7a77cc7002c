import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'
import { parsePlainObject } from './index.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** An object as kube-apiserver stores it in protobuf: a message `Unknown` behind four bytes. */
function inProtobuf(apiVersion: string): Uint8Array {
  const { LengthDelimited } = WireType
  const meta = new BinaryWriter().tag(1, LengthDelimited).string(apiVersion).tag(2, LengthDelimited).string('Kind')
  const unknown = new BinaryWriter().tag(1, LengthDelimited).bytes(meta.finish())
  return Buffer.concat([bytes('k8s\0'), unknown.tag(2, LengthDelimited).bytes(bytes('hunter2')).finish()])
}

const of = (group: string | undefined) => ({ kind: 'api-object', group })

describe('an object in clear', () => {
  it.each<[string, Uint8Array, object]>([
    ['of the core group, in protobuf', inProtobuf('v1'), of('')],
    ['of another group, in protobuf', inProtobuf('networking.k8s.io/v1'), of('networking.k8s.io')],
    ['as kube-apiserver 1.36 writes it', bytes('k8s\0\n\x15\n\x07apps/v1\x12\nDeployment\x12\x00'), of('apps')],
    ['in JSON, by kind', bytes('{"kind":"Secret","apiVersion":"v1","metadata":{}}'), of('')],
    ['in JSON, by version', bytes('{"apiVersion":"example.org/v1","kind":"Thing"}'), of('example.org')],
    ['in CBOR', bytes('\xd9\xd9\xf7\xa0'), of(undefined)],
    ['in protobuf that is cut off', inProtobuf('v1').subarray(0, 7), of(undefined)],
    ['in protobuf with no version', bytes('k8s\0'), of(undefined)],
    ['in protobuf with a version that is no text', bytes('k8s\0\n\x03\n\x01\xff'), of('')],
  ])('is known by its type: %s', (_what, value, expected) => {
    expect(parsePlainObject(value)).toEqual(expected)
  })

  it.each(['', '1', '{}', '{"data":{"kind":"Secret","apiVersion":"v1"}}', 'k8s', '{"kind":"'])('is none: %j', text => {
    expect(parsePlainObject(bytes(text))).toEqual({ kind: 'other' })
  })

  it('ends in a value, whatever it is', () => {
    fc.assert(
      fc.property(fc.constantFrom('k8s\0', '{"kind":"', ''), fc.uint8Array({ maxLength: 64 }), (head, tail) => {
        expect(['api-object', 'other']).toContain(parsePlainObject(Buffer.concat([bytes(head), tail])).kind)
      }),
    )
  })
})
