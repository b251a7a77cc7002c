import { pino } from 'pino'
import { type KeyLife } from '@sealwright/kms-v2'
import { pluginReporter } from './report.ts'
import { versionOf } from './testing/scripted-backend.ts'

type Line = Readonly<Record<string, unknown>>

let lines: Line[]
let nowMs: number

beforeEach(() => {
  lines = []
  nowMs = 0
})

function reporter() {
  const log = pino({ base: null, timestamp: false }, { write: (text: string) => lines.push(JSON.parse(text) as Line) })
  return pluginReporter(log, () => nowMs)
}

/** A life of so many versions, of which the newest is active. */
function lifeOf(count: number): KeyLife {
  const versions = Array.from({ length: count }, (_, index) => ({
    ...versionOf(index + 1),
    sample: null,
    phase: index + 1 === count ? ('active' as const) : ('retiring' as const),
  }))
  return { versions, former: [], stableObservations: 1, doubts: 0, trouble: null }
}

describe('what the log says of a change of the key', () => {
  it('is each version whose phase is another one, and from what it changed', () => {
    reporter().watch({ kind: 'life-changed', before: lifeOf(2), life: lifeOf(3) })
    expect(lines).toEqual([
      { level: 30, version: 2, phase: 'retiring', phaseBefore: 'active', msg: 'version of the key' },
      { level: 30, version: 3, phase: 'active', msg: 'version of the key' },
    ])
  })

  it('is the newest ten and a number, however many versions there are', () => {
    reporter().watch({ kind: 'life-changed', before: null, life: lifeOf(15_000) })
    expect(lines).toHaveLength(11)
    expect(lines[0]).toMatchObject({ versions: 14_990, upTo: 14_990, msg: 'older versions of the key' })
    expect(lines.slice(1).map(({ version }) => version)).toEqual(
      Array.from({ length: 10 }, (_, index) => 14_991 + index),
    )
    expect(lines.at(-1)).toMatchObject({ phase: 'active' })
  })
})

describe('what the log says of the state that cannot be used', () => {
  it('is told at the start, and then once a minute, not at each look', () => {
    const report = reporter()
    const cause = Object.assign(new Error('others may write'), { code: 'KMS_STATE_UNSAFE' })
    report.stateFound({ kind: 'unusable', cause })
    for (let look = 0; look < 13; look += 1) {
      report.stateNotWritten(cause)
      nowMs += 5_000
    }
    expect(lines.map(({ code, heldBack }) => [code, heldBack])).toEqual([
      ['KMS_STATE_UNSAFE', undefined],
      ['KMS_STATE_UNSAFE', undefined],
      ['KMS_STATE_UNSAFE', 11],
    ])
  })
})
