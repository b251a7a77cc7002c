import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readVectors } from '@sealwright/testing-vectors'
import { describeEvent, eventsOfPcr, parseBootLog, replayPcr } from './index.ts'

const [vector] = readVectors('boot-log', 'logs.json', { log: 'hex', events: 'json', pcrs: 'json' })
const bytes = vector?.log ?? new Uint8Array()
const newDigest = new Uint8Array(32)

function example() {
  // README
  const log = parseBootLog(bytes)
  const events = eventsOfPcr(log, 7).map(event => describeEvent(event))
  const now = replayPcr(log, 7)
  const next = replayPcr(log, 7, [{ pcr: 7, index: 0, digest: newDigest }])
  // README
  return { events, now, next }
}

describe('the example in the README', () => {
  it('does what it says', () => {
    const { events, now, next } = example()
    expect(events[0]).toBe('EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot')
    expect(next).not.toEqual(now)
  })

  it('stands there as it stands here', () => {
    const [, code = ''] = readFileSync(join(import.meta.dirname, 'readme.test.ts'), 'utf8').split('// README\n')
    const written = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
    for (const line of code.split('\n').map(text => text.trim())) expect(written).toContain(line)
  })
})
