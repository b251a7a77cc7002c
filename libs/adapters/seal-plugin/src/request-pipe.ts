import { closeSync, constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { SealPluginError } from './errors.ts'
import { type SessionRequest, createRequestStream } from './request-stream.ts'

/** Pause after a piece with junk in it: a flood costs at most one pipe (64 KiB) per pause, not a whole core. */
const JUNK_PAUSE_MS = 20
/** Junk is summed up for this long before it is reported again. */
const JUNK_REPORT_INTERVAL_MS = 1000

/** Hooks of {@link openRequestPipe}. */
export interface RequestPipeHooks {
  /** Whether the request is taken. One that is not counts as junk. */
  onRequest(request: SessionRequest): boolean
  onJunk(junk: { readonly droppedBytes: number; readonly droppedLines: number }): void
  onFailure(cause: unknown): void
}

/**
 * Reads requests from the pipe until it is closed. Opened for both directions, so that it never reaches its end when
 * the last connector closes it; opening also frees the connectors that wait in open().
 *
 * @throws {@link SealPluginError} `SEAL_PLUGIN_IO_FAILED`
 */
export function openRequestPipe(path: string, hooks: RequestPipeHooks): { close(): void } {
  const pipe = openPipe(path)
  const requests = createRequestStream()
  let resume: NodeJS.Timeout | undefined
  let report: NodeJS.Timeout | undefined
  let droppedBytes = 0
  let droppedLines = 0

  function reportJunk(): void {
    report = undefined
    if (droppedBytes === 0) return
    hooks.onJunk({ droppedBytes, droppedLines })
    droppedBytes = 0
    droppedLines = 0
    report = setTimeout(reportJunk, JUNK_REPORT_INTERVAL_MS)
    report.unref()
  }

  pipe.on('data', (chunk: Buffer) => {
    const found = requests.push(chunk)
    const refused = found.requests.filter(request => !hooks.onRequest(request))
    if (found.droppedBytes === 0 && refused.length === 0) return
    droppedBytes += refused.reduce((sum, request) => sum + request.byteLength, found.droppedBytes)
    droppedLines += found.droppedLines + refused.length
    if (report === undefined) reportJunk()
    pipe.pause()
    resume = setTimeout(() => pipe.resume(), JUNK_PAUSE_MS)
  })
  pipe.on('error', cause => {
    hooks.onFailure(cause)
  })

  return {
    close() {
      clearTimeout(resume)
      clearTimeout(report)
      pipe.destroy()
    },
  }
}

function openPipe(path: string): Socket {
  try {
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    try {
      return new Socket({ fd, readable: true, writable: false })
    } catch (cause) {
      closeSync(fd)
      throw cause
    }
  } catch (cause) {
    throw new SealPluginError('SEAL_PLUGIN_IO_FAILED', `cannot read ${path}`, { cause })
  }
}
