import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { temporaryFolder } from '@sealwright/testing-rig'
import { readVectors, toHex } from '@sealwright/testing-vectors'
import { parseBootLog } from './parse.ts'
import { replayPcr } from './replay.ts'

const run = promisify(execFile)
const logs = readVectors('boot-log', 'logs.json', { log: 'hex', events: 'json', pcrs: 'json' })

/** tpm2-tools 5.4 begins every PCR with zeros, PCR 0 at any locality and PCR 17 of a dynamic launch too. */
const PCRS_BEGUN_ALIKE = [4, 7, 12]

describe('tpm2_eventlog', () => {
  it('replays a log to the same values', async () => {
    const [vector] = logs.filter(({ log }) => log.byteLength > 100)
    if (vector === undefined) throw new Error('there is no vector with events')
    await using folder = await temporaryFolder()
    const path = join(folder.path, 'log')
    await writeFile(path, vector.log)
    const { stdout } = await run('tpm2_eventlog', [path])
    const sha256Bank = stdout.slice(stdout.lastIndexOf('  sha256:'))
    const log = parseBootLog(vector.log)
    for (const pcr of PCRS_BEGUN_ALIKE) {
      const printed = new RegExp(`^ +${pcr} *: 0x([0-9a-f]{64})$`, 'm').exec(sha256Bank)?.[1]
      expect(toHex(replayPcr(log, pcr).value)).toBe(printed)
    }
  })
})
