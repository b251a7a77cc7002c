import { id_kp_serverAuth } from '@peculiar/asn1-x509'
import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs'
import { chmod, rename } from 'node:fs/promises'
import { type AgentDirectory } from './agent-directory.ts'
import { makeFifos } from './mkfifo.ts'
import { type SelfSignedCertificate, makeSelfSignedCertificate } from './self-signed-certificate.ts'

/** A certificate is valid from this long before it is made: clocks move. */
const CLOCK_SKEW_MS = 60 * 60 * 1000
/** A certificate is only looked at when a host connects, seconds after it is handed out. */
const CERTIFICATE_LIFE_MS = 24 * 60 * 60 * 1000
/** A spare kit older (or, after a step of the clock, newer) than this is thrown away. */
const MAX_KIT_AGE_MS = CERTIFICATE_LIFE_MS / 2

/** All that a session needs and that does not depend on who asks: made ahead of time. */
export interface SessionKit {
  /** Random. Names the socket, and the reply pipe until it is handed over. */
  readonly name: string
  readonly certificate: SelfSignedCertificate
  readonly replyPipe: ReplyPipe
  readonly madeAtMs: number
}

/** The pipe by which a connector learns its handshake line and, later, that its session ended. */
export interface ReplyPipe {
  /** Puts the line into the pipe, and the pipe where the connector of `sessionId` looks for it. */
  handOver(sessionId: string, line: string): Promise<void>
  /** Ends the connector that reads it, and removes the pipe. */
  close(): void
}

/** Makes `count` kits with one run of `mkfifo`. @throws {@link SealPluginError} */
export async function makeSessionKits(
  count: number,
  parameters: {
    readonly directory: AgentDirectory
    readonly mkfifoPath: string
    readonly now: () => number
    readonly randomUuid: () => string
  },
): Promise<readonly SessionKit[]> {
  const { directory, mkfifoPath, now, randomUuid } = parameters
  const madeAtMs = now()
  const names = Array.from({ length: count }, randomUuid)
  const pipes = makeFifos(
    mkfifoPath,
    names.map(name => directory.replyPipePath(name)),
  )
  const certificates = names.map(() =>
    makeSelfSignedCertificate({
      curve: 'P-256',
      purpose: id_kp_serverAuth,
      notBeforeMs: madeAtMs - CLOCK_SKEW_MS,
      notAfterMs: madeAtMs + CERTIFICATE_LIFE_MS,
      serial: Buffer.from(randomUuid().replaceAll('-', ''), 'hex'),
    }),
  )
  const [made] = await Promise.all([Promise.all(certificates), pipes])
  return Promise.all(
    made.map(async (certificate, index) => {
      const name = names[index] ?? ''
      return { name, certificate, replyPipe: await openReplyPipe(directory, name), madeAtMs }
    }),
  )
}

/** Whether the certificate of a kit is still good to hand out. */
export function isFresh(kit: SessionKit, nowMs: number): boolean {
  return Math.abs(nowMs - kit.madeAtMs) <= MAX_KIT_AGE_MS
}

async function openReplyPipe(directory: AgentDirectory, name: string): Promise<ReplyPipe> {
  let path = directory.replyPipePath(name)
  // Both directions: our own end keeps it from ever being at its end before we close it.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  await chmod(path, directory.replyPipeMode)
  let open = true
  return {
    async handOver(sessionId, line) {
      writeSync(fd, `${line}\n`)
      const handedOver = directory.replyPipePath(sessionId)
      await rename(path, handedOver)
      path = handedOver
    },
    close() {
      if (!open) return
      open = false
      closeSync(fd)
      rmSync(path, { force: true })
    },
  }
}
