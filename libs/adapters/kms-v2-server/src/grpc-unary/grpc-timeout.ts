/** Each unit of `grpc-timeout`, in milliseconds. */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1 / 1000,
  n: 1 / 1_000_000,
}

/**
 * Reads the header `grpc-timeout`: one to eight digits and a unit.
 *
 * @returns milliseconds, not always whole; `null` for anything else.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Timeout"
 */
export function parseGrpcTimeout(text: string): number | null {
  const [, digits, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? []
  const unitMs = UNIT_MS[unit]
  return digits === undefined || unitMs === undefined ? null : Number(digits) * unitMs
}
