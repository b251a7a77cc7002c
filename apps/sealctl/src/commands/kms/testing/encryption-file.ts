import { parse } from 'yaml'

/** The list of entries in an `EncryptionConfiguration`. */
export function listOf(text: string): unknown {
  return (parse(text) as { readonly resources: unknown }).resources
}

/** What a step throws that does not go with the file. */
export function refused(message: RegExp): Error {
  return expect.objectContaining({
    code: 'KMS_COMMAND_ENCRYPTION_CONFIG',
    message: expect.stringMatching(message) as string,
  }) as Error
}
