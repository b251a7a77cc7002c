import { create, createFileRegistry, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import { type DekSourceType } from '../index.ts'

/** The fields of an `EncryptedObject`, as a protobuf library has them. */
export interface EncryptedObjectFields {
  readonly encryptedData: Uint8Array
  readonly keyID: string
  readonly encryptedDEKSource: Uint8Array
  readonly annotations: Readonly<Record<string, Uint8Array>>
  readonly encryptedDEKSourceType: number
}

/** Numbers of the type, as the protocol has them. */
export const SOURCE_TYPES: readonly DekSourceType[] = ['aes-gcm-key', 'hkdf-sha256-xnonce-aes-gcm-seed']

const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label
const { BYTES, STRING, INT32, MESSAGE } = FieldDescriptorProto_Type

/** k8s.io/apiserver v0.36.3, envelope/kmsv2/v2/api.proto. The enumeration is a number here, so that unknown ones can be written. */
const FILE: FileDescriptorProto = create(FileDescriptorProtoSchema, {
  name: 'api.proto',
  syntax: 'proto3',
  package: 'v2',
  messageType: [
    {
      name: 'EncryptedObject',
      field: [
        { name: 'encryptedData', jsonName: 'encryptedData', number: 1, label: OPTIONAL, type: BYTES },
        { name: 'keyID', jsonName: 'keyID', number: 2, label: OPTIONAL, type: STRING },
        { name: 'encryptedDEKSource', jsonName: 'encryptedDEKSource', number: 3, label: OPTIONAL, type: BYTES },
        {
          ...{ name: 'annotations', jsonName: 'annotations', number: 4, label: REPEATED, type: MESSAGE },
          typeName: '.v2.EncryptedObject.AnnotationsEntry',
        },
        { name: 'encryptedDEKSourceType', jsonName: 'encryptedDEKSourceType', number: 5, label: OPTIONAL, type: INT32 },
      ],
      nestedType: [
        {
          name: 'AnnotationsEntry',
          options: { mapEntry: true },
          field: [
            { name: 'key', jsonName: 'key', number: 1, label: OPTIONAL, type: STRING },
            { name: 'value', jsonName: 'value', number: 2, label: OPTIONAL, type: BYTES },
          ],
        },
      ],
    },
  ],
})

function schema(): DescMessage {
  const message = createFileRegistry(create(FileDescriptorSetSchema, { file: [FILE] })).getMessage('v2.EncryptedObject')
  if (message === undefined) throw new Error('the message is not in its own file')
  return message
}

const ENCRYPTED_OBJECT = schema()

/** Written by the library. */
export function writeByLibrary(fields: EncryptedObjectFields): Uint8Array {
  return toBinary(ENCRYPTED_OBJECT, create(ENCRYPTED_OBJECT, { ...fields }))
}

/** Read by the library; throws what it throws. */
export function readByLibrary(bytes: Uint8Array): EncryptedObjectFields {
  return fromBinary(ENCRYPTED_OBJECT, bytes) as unknown as EncryptedObjectFields
}
