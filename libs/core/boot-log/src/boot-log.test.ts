import fc from 'fast-check'
import { fromHex, readVectors, toHex } from '@sealwright/testing-vectors'
import { sha256 } from '@sealwright/tpm-wire'
import { describeEvent } from './describe.ts'
import { BootLogError } from './errors.ts'
import { eventTypeName } from './event-types.ts'
import { MAX_BOOT_EVENTS, MAX_BOOT_LOG_BYTES, parseBootLog } from './parse.ts'
import { eventsOfPcr, replayPcr } from './replay.ts'

const logs = readVectors('boot-log', 'logs.json', { log: 'hex', events: 'json', pcrs: 'json' })
const refused = readVectors('boot-log', 'refused.json', { log: 'hex', code: 'text' })
const largest = logs.toSorted((one, other) => other.log.byteLength - one.log.byteLength)[0]?.log ?? new Uint8Array()

function outcome(bytes: Uint8Array): string {
  try {
    const log = parseBootLog(bytes)
    // What was taken must also be fit to be shown and replayed.
    if (!log.events.every(event => /^[ -~]+$/.test(describeEvent(event)))) return 'not fit to be shown'
    for (let pcr = 0; pcr < 24; pcr += 1) replayPcr(log, pcr)
    return 'accepted'
  } catch (error) {
    if (error instanceof BootLogError) return error.code
    throw error
  }
}

describe('an event log', () => {
  it.each(logs)('is replayed to the values that another program computes: $name', ({ log: bytes, events, pcrs }) => {
    const log = parseBootLog(bytes)
    expect(log.events.map(event => `${event.pcr} ${describeEvent(event)}`)).toEqual(events)
    for (const [pcr, value] of Object.entries(pcrs as Readonly<Record<string, string>>)) {
      expect(toHex(replayPcr(log, Number(pcr)).value)).toBe(value)
    }
  })

  it.each(refused)('is refused: $name', ({ log, code }) => {
    expect(outcome(log)).toBe(code)
  })

  it('is refused when it is cut, unless it is cut between two events', () => {
    const whole = parseBootLog(largest)
    const accepted: number[] = []
    for (let length = 0; length <= largest.byteLength; length += 1) {
      const code = outcome(largest.subarray(0, length))
      if (code === 'accepted') accepted.push(length)
      else expect(code).toBe('BOOT_LOG_MALFORMED')
    }
    expect(accepted).toHaveLength(whole.events.length + 1)
  })

  it('with a flipped bit is refused by its own code, or read as another log', () => {
    const codes = new Set<string>()
    for (let bit = 0; bit < largest.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(largest)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      codes.add(outcome(flipped))
    }
    expect([...codes].sort()).toEqual(['BOOT_LOG_MALFORMED', 'BOOT_LOG_NO_SHA256', 'accepted'])
  })

  it('made of any bytes throws nothing but its own error', () => {
    const [header] = logs.filter(({ events }) => (events as readonly string[]).length === 0)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, behindHeader) => {
        outcome(behindHeader ? Buffer.concat([header?.log ?? bytes, bytes]) : bytes)
      }),
      { numRuns: 2_000 },
    )
  })

  it('is read up to a limit of bytes and of events', () => {
    expect(outcome(new Uint8Array(MAX_BOOT_LOG_BYTES + 1))).toBe('BOOT_LOG_TOO_LARGE')
    const [header] = logs.filter(({ events }) => (events as readonly string[]).length === 0)
    // EV_NO_ACTION of PCR 0 without digests or data: 16 bytes.
    const event = Uint8Array.from(fromHex('00000000030000000000000000000000'))
    const many = Buffer.concat([
      Uint8Array.from(header?.log ?? []),
      ...Array.from({ length: MAX_BOOT_EVENTS + 1 }, () => event),
    ])
    expect(outcome(many.subarray(0, -16))).toBe('accepted')
    expect(outcome(many)).toBe('BOOT_LOG_TOO_LARGE')
  })
})

describe('a replay', () => {
  const log = parseBootLog(largest)

  it('takes other digests in the place of those that were measured', () => {
    const events = eventsOfPcr(log, 7)
    const digest = new Uint8Array(32).fill(9)
    const expected = events.reduce<Uint8Array>(
      (value, event, index) => sha256(value, index === 1 ? digest : event.digest),
      new Uint8Array(32),
    )
    const replacements = [
      { pcr: 7, index: 1, digest },
      { pcr: 4, index: 0, digest },
    ]
    expect(replayPcr(log, 7, replacements).value).toEqual(expected)
    expect(replayPcr(log, 4, replacements).value).not.toEqual(replayPcr(log, 4).value)
    expect(replayPcr(log, 0, replacements)).toEqual(replayPcr(log, 0))
  })

  it('refuses to replace an event that is not there', () => {
    expect(() => replayPcr(log, 7, [{ pcr: 7, index: 3, digest: new Uint8Array(32) }])).toThrow(
      expect.objectContaining({
        code: 'BOOT_LOG_NO_SUCH_EVENT',
        message: expect.stringContaining('7:3') as string,
      }) as Error,
    )
  })
})

describe('an event in words', () => {
  const text = (words: string) => describeEvent({ eventType: 0xd, data: Buffer.from(words) })

  it('sends nothing to a terminal that it would obey, and has an end', () => {
    expect(text('\u001b[2Jgrub_cmd: ü')).toBe('EV_IPL .[2Jgrub_cmd: .')
    expect(text('x'.repeat(500))).toHaveLength('EV_IPL '.length + 80)
  })

  it('reads the UTF-16 of boot loaders, with half a character at its end too', () => {
    const data = Buffer.concat([Buffer.from('initrd=\\linux', 'utf16le'), Buffer.of(0)])
    expect(describeEvent({ eventType: 0xd, data })).toBe('EV_IPL initrd=\\linux')
  })

  it('is its type alone where its data says nothing that we can read', () => {
    expect(describeEvent({ eventType: 0x8000_0001, data: new Uint8Array(3) })).toBe('EV_EFI_VARIABLE_DRIVER_CONFIG')
    expect(describeEvent({ eventType: 0x8000_0001, data: new Uint8Array(40).fill(0xff) })).toBe(
      'EV_EFI_VARIABLE_DRIVER_CONFIG',
    )
    expect(eventTypeName(0x8000_00e0)).toBe('EV_EFI_VARIABLE_AUTHORITY')
    expect(eventTypeName(0x1234)).toBe('0x00001234')
  })
})
