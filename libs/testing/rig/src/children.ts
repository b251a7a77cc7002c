import { hasErrorCode } from '@sealwright/system-error'
import { RigError } from './error.ts'
import { standsStill } from './proc.ts'

/** Process groups that must not outlive us, by the pid of their leader. */
const groups = new Set<number>()

/** Signals after which Node would end us without an `exit` event. */
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Of SIGSTOP: the kernel takes microseconds, unless a device holds a thread. */
const STOP_TIMEOUT_MS = 5_000

let watching = false

/** From now on the end of this process kills the group that `leaderPid` leads. */
export function ownGroup(leaderPid: number): void {
  groups.add(leaderPid)
  if (watching) return
  watching = true
  // `exit` comes after a normal end, process.exit() and an uncaught error.
  process.on('exit', killOwnedGroups)
  for (const signal of ENDING_SIGNALS) process.on(signal, endBySignal)
}

/** The group has ended by itself. */
export function disownGroup(leaderPid: number): void {
  groups.delete(leaderPid)
}

/** Sends `signal` to every member of the group. Harmless when nobody is left in it. */
export function signalGroup(leaderPid: number, signal: NodeJS.Signals): void {
  sendSignal(-leaderPid, signal)
}

/**
 * Sends `signal` to one process. Harmless when it has ended. After SIGSTOP it stands still: by itself the signal lets threads that run on another
 * processor go on for a moment, and answer what was to find nobody.
 *
 * @throws {@link RigError} `RIG_TIMEOUT` if it does not stop.
 */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  sendSignal(pid, signal)
  if (signal !== 'SIGSTOP') return
  const deadlineMs = performance.now() + STOP_TIMEOUT_MS
  while (!standsStill(pid)) {
    if (performance.now() >= deadlineMs) throw new RigError('RIG_TIMEOUT', `process ${pid} does not stop`)
  }
}

function sendSignal(target: number, signal: NodeJS.Signals): void {
  // 0, -1 and 1 mean "my own group", "everybody" and "init": never by a slip.
  if (!Number.isInteger(target) || Math.abs(target) <= 1) {
    throw new RigError('RIG_INVALID', `${target} is not a process of ours`)
  }
  try {
    process.kill(target, signal)
  } catch (error) {
    if (!hasErrorCode(error, 'ESRCH')) throw error
  }
}

function killOwnedGroups(): void {
  for (const leaderPid of groups) signalGroup(leaderPid, 'SIGKILL')
  groups.clear()
}

function endBySignal(signal: NodeJS.Signals): void {
  // Somebody else listens too (the lab ends its cluster in order): `exit` is soon enough for us.
  if (process.listenerCount(signal) > 1) return
  killOwnedGroups()
  process.off(signal, endBySignal)
  process.kill(process.pid, signal)
}
