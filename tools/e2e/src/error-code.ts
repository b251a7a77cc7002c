/** The `code` of an error, from whatever realm it comes: the ones of Node's own modules are not of the test's realm. */
export function errorCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
