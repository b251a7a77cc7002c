import { readReadmeExamples } from '@sealwright/testing-checks'
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
  // end
  return { events, now, next }
}

describe('the example in the README', () => {
  it('does what it says', () => {
    const { events, now, next } = example()
    expect(events[0]).toBe('EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot')
    expect(next).not.toEqual(now)
  })

  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })
})
