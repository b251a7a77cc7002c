/**
 * The code of an error: for an error of the system its name, such as `ENOENT`; for one of ours its stable code. By shape,
 * not by `instanceof Error`: an error of the system may come from another realm.
 *
 * @param error - whatever was thrown.
 * @returns `undefined` if it has no code, or one that is not a text.
 */
export function errorCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** Whether the code of `error`, as {@link errorCodeOf} reads it, is one of `codes`. */
export function hasErrorCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = errorCodeOf(error)
  return code !== undefined && codes.includes(code)
}
