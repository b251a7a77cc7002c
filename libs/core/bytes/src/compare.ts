/**
 * Order by the first differing byte; a prefix comes first. For public data: the time taken depends on the contents.
 *
 * @returns below 0, 0 or above 0, as `Array.prototype.sort` takes it.
 */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

/** Whether both hold the same bytes. For public data: the time taken depends on the contents. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
}
