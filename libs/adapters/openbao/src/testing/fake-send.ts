import { errorTexts, statusError } from '../failure.ts'
import { type Answer, type Request, type Send } from '../transport.ts'
import { type Clock } from '../auth/clock.ts'

/** What a scripted server says to one request. */
export type Script = (
  request: Request & { readonly token: string | undefined; readonly sent: string },
) => readonly [status: number, body: unknown] | Promise<readonly [status: number, body: unknown]>

/** Sends nothing: a script answers, with the errors that the real transport makes of a status. */
export function fakeSend(script: Script): Send {
  return async request => {
    const { method, path, call, expected } = request
    const secrets = request.secrets?.() ?? []
    const token = 'token' in call ? call.token.reveal(text => Buffer.from(text).toString()) : undefined
    const sent = Buffer.from(request.body ?? new Uint8Array()).toString()
    const [status, content] = await script({ ...request, token, sent })
    const body = new TextEncoder().encode(JSON.stringify(content))
    const serverErrors = errorTexts(body, 'token' in call ? [...secrets, call.token] : secrets)
    const answer: Answer = { status, body, request: `${method} ${path}`, serverErrors }
    if (expected.includes(status)) return answer
    throw statusError(answer)
  }
}

/** The answer to a login or a renewal. */
export function granted(token: string, leaseSeconds: number, renewable = true): readonly [200, unknown] {
  return [200, { auth: { client_token: token, lease_duration: leaseSeconds, renewable } }]
}

/** A clock that moves by hand. */
export interface ManualClock extends Clock {
  /** Moves on, and lets all that was due on the way run at its time. */
  readonly advance: (ms: number) => Promise<void>
  /** How many calls wait. */
  readonly waiting: () => number
}

export function manualClock(): ManualClock {
  let nowMs = 0
  const timers = new Map<object, { readonly atMs: number; readonly run: () => void }>()
  /** Lets promises go on that wait for nothing but each other. */
  const settle = async (): Promise<void> => {
    const turned = Promise.withResolvers<undefined>()
    setImmediate(() => {
      turned.resolve(undefined)
    })
    await turned.promise
  }
  return {
    nowMs: () => nowMs,
    after: (delayMs, run) => {
      const key = {}
      timers.set(key, { atMs: nowMs + delayMs, run })
      return () => timers.delete(key)
    },
    waiting: () => timers.size,
    advance: async ms => {
      const untilMs = nowMs + ms
      for (;;) {
        await settle()
        const [next] = [...timers].sort(([, a], [, b]) => a.atMs - b.atMs)
        if (next === undefined || next[1].atMs > untilMs) break
        timers.delete(next[0])
        nowMs = next[1].atMs
        next[1].run()
      }
      nowMs = untilMs
    },
  }
}
