import { readdirSync, readFileSync } from 'node:fs'

/** Other processes whose environment holds `name=value`: whatever a test run started and did not stop. */
export function processesWith(name, value) {
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap(entry => {
      const environment = readProc(entry, 'environ')
      if (!environment.split('\0').includes(`${name}=${value}`)) return []
      return [{ pid: Number(entry), command: readProc(entry, 'cmdline').replaceAll('\0', ' ').trim() }]
    })
}

function readProc(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (error) {
    // The process ended while we looked, or belongs to somebody else: either way it is not ours.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code)) return ''
    throw error
  }
}
