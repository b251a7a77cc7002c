import { SealServiceRefusal } from '@sealwright/seal-plugin'
import { JOIN_CHALLENGE_BYTES, type JoinGuard, joinGuard, type Membership } from './join-guard.ts'

const ROOT_KEY_BYTES = 48
const INITIALISED: Membership = { kind: 'initialised' }
const UNINITIALISED: Membership = { kind: 'uninitialised' }
const UNKNOWN: Membership = { kind: 'unknown', reason: 'OPENBAO_UNREACHABLE: refused' }

let agent: AbortController

beforeEach(() => {
  agent = new AbortController()
})

afterEach(() => {
  agent.abort()
})

/** A guard beside an OpenBao that answers as `openBao.is` says, at a clock that each look moves on. */
function guardBeside(openBao: { is: Membership; asked?: number }): JoinGuard {
  let clockMs = 0
  return joinGuard({
    ask: () => {
      openBao.asked = (openBao.asked ?? 0) + 1
      return Promise.resolve(openBao.is)
    },
    steadyNow: () => (clockMs += 500),
    signal: agent.signal,
  })
}

async function codeOf(admission: Promise<void>): Promise<string> {
  try {
    await admission
    return 'admitted'
  } catch (error) {
    if (error instanceof SealServiceRefusal) return error.code
    throw error
  }
}

const admit = (guard: JoinGuard, bytes: number): Promise<string> => codeOf(guard.admit(bytes, agent.signal))

describe('what an OpenBao may have decrypted', () => {
  it('is everything, once it is initialised', async () => {
    const guard = guardBeside({ is: INITIALISED })
    for (const bytes of [1, 13, 32, ROOT_KEY_BYTES, 152]) expect(await admit(guard, bytes)).toBe('admitted')
  })

  it('is only what has the length of a challenge while it is not', async () => {
    const guard = guardBeside({ is: UNINITIALISED })
    for (const bytes of [1, 13, 23, 25, 32, ROOT_KEY_BYTES, 152]) {
      expect(await admit(guard, bytes)).toBe('SEAL_NOT_INITIALISED')
    }
    expect(await admit(guard, JOIN_CHALLENGE_BYTES)).toBe('admitted')
  })

  it('is nothing but a challenge while nobody knows what it is; it is asked for a while', async () => {
    const openBao = { is: UNKNOWN, asked: 0 }
    const guard = guardBeside(openBao)
    expect(await admit(guard, ROOT_KEY_BYTES)).toBe('SEAL_OPENBAO_UNKNOWN')
    expect(openBao.asked).toBeGreaterThan(2)
    expect(await admit(guard, JOIN_CHALLENGE_BYTES)).toBe('admitted')
  })

  it('waits for an OpenBao whose listener is later than its first call', async () => {
    const answers = [UNKNOWN, UNKNOWN, INITIALISED]
    const guard = joinGuard({
      ask: () => Promise.resolve(answers.shift() ?? INITIALISED),
      steadyNow: () => 0,
      signal: agent.signal,
    })
    expect(await admit(guard, ROOT_KEY_BYTES)).toBe('admitted')
    expect(answers).toEqual([])
  })

  it('is not what was asked for before it became initialised: the call may be a stranger’s', async () => {
    const openBao: { is: Membership } = { is: UNINITIALISED }
    const guard = guardBeside(openBao)
    expect(await admit(guard, ROOT_KEY_BYTES)).toBe('SEAL_NOT_INITIALISED')
    openBao.is = INITIALISED
    expect(await admit(guard, ROOT_KEY_BYTES)).toBe('SEAL_NOT_INITIALISED')
    expect(await admit(guard, ROOT_KEY_BYTES)).toBe('admitted')
  })

  it('is not what was asked for while an honest join went on beside it', async () => {
    const answer = Promise.withResolvers<Membership>()
    const guard = joinGuard({ ask: () => answer.promise, steadyNow: () => 0, signal: agent.signal })
    const strangers = admit(guard, ROOT_KEY_BYTES)
    const honest = admit(guard, JOIN_CHALLENGE_BYTES)
    answer.resolve(INITIALISED)
    expect(await honest).toBe('admitted')
    expect(await strangers).toBe('SEAL_NOT_INITIALISED')
  })

  it('is watched for after a challenge, so that a server which has joined is not refused first', async () => {
    const openBao: { is: Membership; asked: number } = { is: UNINITIALISED, asked: 0 }
    let clockMs = 0
    const guard = joinGuard({
      ask: () => {
        openBao.asked += 1
        return Promise.resolve(openBao.is)
      },
      steadyNow: () => (clockMs += 1),
      signal: agent.signal,
    })
    expect(await admit(guard, JOIN_CHALLENGE_BYTES)).toBe('admitted')
    openBao.is = INITIALISED
    while (openBao.asked === 0) await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(await admit(guard, ROOT_KEY_BYTES)).toBe('admitted')
  })

  it('ends with the call that asked', async () => {
    const call = new AbortController()
    const guard = joinGuard({ ask: () => Promise.resolve(UNKNOWN), steadyNow: () => 0, signal: agent.signal })
    const admission = guard.admit(ROOT_KEY_BYTES, call.signal)
    call.abort(new Error('cancelled'))
    await expect(admission).rejects.toThrow()
  })
})
