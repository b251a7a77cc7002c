import { randomBytes } from 'node:crypto'
import { countInMemory, findProcesses, readMemory, withNodeProgram } from './index.ts'

const SPACING_BYTES = 1000
const SPAN_BYTES = 4_000_000
const MASK = 0x5a

/** Writes its unmasked argument again and again into one piece of memory, and nowhere else. */
const source = `
  const masked = Buffer.from(process.argv[1], 'hex')
  const span = Buffer.alloc(${SPAN_BYTES})
  for (let at = 0; at < span.length; at += ${SPACING_BYTES}) {
    for (const [index, byte] of masked.entries()) span[at + index] = byte ^ ${MASK}
  }
  console.log('written')
  process.stdin.on('data', () => span).on('end', () => process.exit())
`

const programWith = (needle: Uint8Array) => ({
  source,
  args: [Buffer.from(needle.map(byte => byte ^ MASK)).toString('hex')],
  workingDirectory: import.meta.dirname,
})

describe('countInMemory', () => {
  it('finds each place once, wherever it lies, and what is not there not at all', async () => {
    const [needle, absent] = [randomBytes(32), randomBytes(32)]
    const counts = await withNodeProgram(programWith(needle), ({ pid }) => countInMemory(pid, [needle, absent]))
    expect(counts).toEqual([SPAN_BYTES / SPACING_BYTES, 0])
  })

  it('takes no needle that could hide on a border', () => {
    expect(() => countInMemory(process.pid, [new Uint8Array(129)])).toThrow('1 to 128 bytes')
    expect(() => countInMemory(process.pid, [new Uint8Array()])).toThrow('1 to 128 bytes')
  })
})

describe('readMemory', () => {
  it('names what it reads, and leaves the process running', async () => {
    const names = await withNodeProgram(programWith(randomBytes(32)), ({ pid }) =>
      [...readMemory(pid)].map(({ name }) => name),
    )
    expect(names).toContain('[stack] (rw-p)')
    expect(names.some(name => name.startsWith('anonymous'))).toBe(true)
  })

  it('refuses a process that has ended', async () => {
    const pid = await withNodeProgram(programWith(randomBytes(32)), program => program.pid)
    expect(findProcesses(process => process.pid === pid)).toEqual([])
    expect(() => [...readMemory(pid)]).toThrow(`the memory of process ${pid} cannot be read`)
  })
})

describe('withNodeProgram', () => {
  it('does not wait for the line of a program that has ended', async () => {
    const silent = { source: '', args: [], workingDirectory: import.meta.dirname }
    await expect(withNodeProgram(silent, () => 'used')).rejects.toMatchObject({ code: 'RIG_PROCESS_ENDED' })
  })
})
