import { type Readable, type Writable } from 'node:stream'

/** Where input comes from: a terminal can be told not to show what is typed. */
export type InputStream = Readable & {
  readonly isTTY?: boolean
  readonly setRawMode?: (isRaw: boolean) => unknown
}

export type OutputStream = Writable & { readonly isTTY?: boolean }

/** The world of one run of sealctl. */
export interface CommandContext {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly now: () => Date
  /** Aborted when sealctl is told to end. */
  readonly signal: AbortSignal
  /** Does what Ctrl-C does where the terminal does not: while what is typed is hidden. */
  readonly interrupt: () => void
}

/** Writes, and waits until it has been taken. */
export async function write(stream: OutputStream, text: string | Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<null>()
  stream.write(text, error => {
    if (error === null || error === undefined) resolve(null)
    else reject(error)
  })
  await promise
}
