import * as v from 'valibot'

export const text = v.pipe(v.string(), v.nonEmpty('must not be empty'))
export const absolutePath = v.pipe(text, v.startsWith('/', 'must be an absolute path'))
export const wholeNumber = (minimum: number, maximum: number) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(minimum, `must be at least ${minimum}`),
    v.maxValue(maximum, `must be at most ${maximum}`),
  )

/** Names appear in commands, metrics and audit lines, so they keep to a small alphabet. */
export const sealName = v.pipe(
  text,
  v.regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 of a-z, 0-9 and "-", beginning with a letter'),
)

/** The id of a cluster, as `bootstrap-init` and share cards print it. It is not secret. */
export const clusterIdText = v.pipe(
  text,
  v.regex(/^[0-9a-f]{32}$/, 'must be 32 of 0-9 and a-f, as bootstrap-init prints it'),
)

/** What OpenBao calls a generation of the seal key. */
export const keyIdText = v.pipe(text, v.regex(/^[\x21-\x7e]{1,64}$/, 'must be 1 to 64 printable characters, no space'))

/** Where an OpenBao answers. */
export const openBaoAddress = v.pipe(
  text,
  v.regex(/^https?:\/\//, 'must begin with https:// (or http:// on loopback)'),
  v.check(
    isPrivateOnItsWay,
    'must be https://: http:// is for loopback only (127.0.0.1, [::1] or localhost), or the network could read and change it',
  ),
)

/** Whether nobody on a network can read what is sent there: RFC 1122 §3.2.1.3 (127/8), RFC 4291 §2.5.3 (::1), `localhost`. */
function isPrivateOnItsWay(address: string): boolean {
  if (!address.startsWith('http://') || !URL.canParse(address)) return true
  return /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(new URL(address).hostname)
}
