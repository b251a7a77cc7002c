import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hasErrorCode } from '@sealwright/system-error'

/** A running process as /proc shows it. What may not be read, or is gone by now, reads as empty. */
export interface ProcessInfo {
  readonly pid: number
  readonly parentPid: number
  /** The process group (`setsid` makes one): everything a program started, unless it left on purpose. */
  readonly groupId: number
  readonly commandLine: readonly string[]
  /** `NAME=value` entries, read when asked for. */
  readonly environment: () => readonly string[]
  /** Working folder, read when asked for. */
  readonly workingDirectory: () => string
}

/** All running processes for which `predicate` holds. Zombies are not running. */
export function findProcesses(predicate: (process: ProcessInfo) => boolean): readonly ProcessInfo[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => readProcess(Number(name)) ?? [])
    .filter(predicate)
}

/** The process and everything below it, parents before children. Empty when `pid` is not running. */
export function processTree(pid: number): readonly ProcessInfo[] {
  const all = findProcesses(() => true)
  const tree = all.filter(process => process.pid === pid)
  // The list grows while it is walked: that is the walk.
  for (const parent of tree) tree.push(...all.filter(process => process.parentPid === parent.pid))
  return tree
}

/** All running members of a process group. */
export function processGroup(groupId: number): readonly ProcessInfo[] {
  return findProcesses(process => process.groupId === groupId)
}

/** Whether no thread of the process runs: all are stopped, or it has ended. */
export function standsStill(pid: number): boolean {
  const folder = `/proc/${pid}/task`
  return namesIn(folder).every(thread =>
    /^[TtZX]?$/.test(stateIn(readOrEmpty(() => readFileSync(`${folder}/${thread}/stat`, 'utf8')))),
  )
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'ESRCH')) return []
    throw error
  }
}

/** Empty of what is gone. */
function stateIn(stat: string): string {
  return fieldsOf(stat)[0] ?? ''
}

/** proc(5): `pid (name) state ppid pgrp …`, where the name may itself hold spaces and brackets. @returns from the state on. */
function fieldsOf(stat: string): readonly string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function readProcess(pid: number): ProcessInfo | undefined {
  const stat = readOrEmpty(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  const [state, parentPid, groupId] = fieldsOf(stat)
  if (state === undefined || state === '' || state === 'Z' || state === 'X') return undefined
  return {
    pid,
    parentPid: Number(parentPid),
    groupId: Number(groupId),
    commandLine: splitAtZeros(readOrEmpty(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))),
    environment: () => splitAtZeros(readOrEmpty(() => readFileSync(`/proc/${pid}/environ`, 'utf8'))),
    workingDirectory: () => readOrEmpty(() => readlinkSync(`/proc/${pid}/cwd`)),
  }
}

function splitAtZeros(text: string): readonly string[] {
  return text.split('\0').filter(part => part !== '')
}

function readOrEmpty(read: () => string): string {
  try {
    return read()
  } catch (error) {
    // Gone, ended while we read (ESRCH), or ours not to read.
    if (hasErrorCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return ''
    throw error
  }
}
