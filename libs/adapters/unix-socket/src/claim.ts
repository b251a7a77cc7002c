import { lstat, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { hasErrorCode } from '@sealwright/system-error'
import { bindPrivately } from './bind.ts'
import { UnixSocketError } from './errors.ts'
import { knockAt } from './knock.ts'
import { isClaim, type SocketPlace } from './place.ts'

/** Open to all: a user who may not knock at it would never find out that it is dead. It only takes connections, and hangs up. */
const CLAIM_MODE = 0o666
/** What a claim is for takes milliseconds. A program that is stopped in the middle (SIGSTOP) keeps the others out. */
const TIMEOUT_MS = 10_000
const LOOK_AGAIN_MS = 5

/** Held until disposed of, or until this process ends, however it ends. */
export interface Claim extends AsyncDisposable {
  readonly name: string
}

/**
 * Waits until no other program is about to listen at this place, and keeps all others out until the claim is disposed of. Without it, one
 * program would remove as stale what another has just put there.
 *
 * A claim is a small socket beside the place, of a name that is used once, that listens from the first moment at which it has that name. So
 * a claim that refuses a knock is dead, for ever, and may be removed by its name. Who has a claim looks whether there are other live ones, and
 * goes on only if there are none: of two, the one who claimed later sees the other. If both see each other, the lower name stays and
 * the other one goes until it sees none.
 *
 * The kernel knows who lives, across containers too. It takes no lock file, and no program for one as flock(2) would.
 *
 * @throws {@link UnixSocketError} `SOCKET_IN_USE` if that takes too long; what the system says.
 */
export async function claimPlace(place: SocketPlace): Promise<Claim> {
  const deadlineMs = performance.now() + TIMEOUT_MS
  const waitFor = async (others: readonly string[]): Promise<void> => {
    if (performance.now() >= deadlineMs) {
      throw new UnixSocketError(
        'SOCKET_IN_USE',
        `another program has been about to listen on ${place.path} for ${TIMEOUT_MS} ms: stop it, or remove ${others.join(', ')} beside it if there is none`,
      )
    }
    await delay(LOOK_AGAIN_MS)
  }
  for (;;) {
    const claim = await announce(place)
    let isAlone = false
    try {
      for (;;) {
        const others = await liveClaims(place, claim.name)
        isAlone = others.length === 0
        if (isAlone) return claim
        if (others.some(name => name < claim.name)) break
        await waitFor(others)
      }
    } finally {
      if (!isAlone) await claim[Symbol.asyncDispose]()
    }
    for (let others = await liveClaims(place); others.length > 0; others = await liveClaims(place))
      await waitFor(others)
  }
}

/** Removes what programs have left at this place that were killed, where that may be done. Only for who has the claim. */
export async function removeLeftovers(place: SocketPlace, claim: Claim): Promise<void> {
  for (const name of await place.names()) {
    if (name === claim.name) continue
    const path = place.at(name)
    try {
      // One that is being made, between bind(2) and listen(2), goes with it: see `announce`.
      if ((await isSocket(path)) && (await knockAt(path)) === 'refused') await rm(path, { force: true })
    } catch {
      // It stays, such as another user's in a sticky folder: it keeps nobody out, for nobody answers.
    }
  }
}

async function announce(place: SocketPlace): Promise<Claim> {
  for (;;) {
    const [made, name] = [place.freshName('new'), place.freshName('claim')]
    const server = createServer(socket => socket.destroy())
    await bindPrivately(server, place.at(made), CLAIM_MODE)
    try {
      await rename(place.at(made), place.at(name))
    } catch (cause) {
      server.close()
      if (hasErrorCode(cause, 'ENOENT')) continue // taken for a leftover
      throw cause
    }
    return {
      name,
      [Symbol.asyncDispose]: async () => {
        await rm(place.at(name), { force: true })
        await new Promise(resolve => server.close(resolve))
      },
    }
  }
}

/** Claims of others that answer, or might. */
async function liveClaims(place: SocketPlace, own?: string): Promise<readonly string[]> {
  const names = (await place.names()).filter(name => isClaim(name) && name !== own)
  const areAlive = await Promise.all(names.map(name => mightAnswer(place.at(name))))
  return names.filter((_name, index) => areAlive[index])
}

async function mightAnswer(path: string): Promise<boolean> {
  return (await isSocket(path)) && (await knockAt(path)) !== 'refused'
}

/** A claim is one from the first moment at which it has its name: what is none is none of ours, even where nobody may knock at it. */
async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket()
  } catch (cause) {
    if (hasErrorCode(cause, 'ENOENT')) return false // given up
    throw cause
  }
}
