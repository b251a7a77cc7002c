import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { waitUntil } from '@sealwright/testing-rig'
import { type ControlScope, controlScope } from '../../../unsealer-sidecar/src/control/testing/control-scope.ts'
import { realShares } from '../testing/real-shares.ts'

const TIMEOUT_MS = 20_000
const MAIN = join(__dirname, '../main.ts')
const PROMPT = 'Share (not shown; Enter alone to end): '
const [first = '', second = ''] = realShares(2, 3)

interface Session {
  readonly script: ChildProcess
  /** All that the terminal has shown. */
  readonly shown: () => string
  readonly waitFor: (text: string) => Promise<void>
  readonly ended: Promise<number | null>
}

/** Runs a command of a shell on a terminal of its own: `script` of util-linux makes one. */
function onTerminal(command: string): Session {
  const script = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const chunks: Buffer[] = []
  script.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise<number | null>((resolve, reject) => {
    script.once('error', reject)
    script.once('close', resolve)
  })
  const shown = () => Buffer.concat(chunks).toString()
  return {
    ...{ script, shown, ended },
    waitFor: async text => {
      await waitUntil(() => shown().includes(text), { what: `"${text}" in ${shown()}`, timeoutMs: TIMEOUT_MS })
    },
  }
}

const unseal = ({ path }: ControlScope) => `${process.execPath} ${MAIN} unseal --socket ${path}`

describe('a share that is typed on a real terminal', () => {
  it('is not shown, and opens the node with the others', async () => {
    await using control = await controlScope()
    const { script, shown, waitFor, ended } = onTerminal(unseal(control))
    await waitFor(PROMPT)
    script.stdin?.write(`${first}\r`)
    await waitFor('share 1 is in: 1 of 2 shares')
    script.stdin?.write(`${second}\r`)
    expect(await ended).toBe(0)
    expect(shown()).toContain('this node is open, by the seal people, set board')
    for (const share of [first, second]) expect(shown()).not.toContain(share.slice(-20))
    expect(control.asked).toMatchObject([
      ['enterShare', { share: first }],
      ['enterShare', { share: second }],
    ])
  })

  it.each([
    ['Ctrl-C in the middle of it', '\x03', 'ended with 130'],
    ['Ctrl-D', '\x15\x04', 'ended with 2'],
  ])('leaves a terminal that shows what is typed again, after %s', async (_what, typed, end) => {
    await using control = await controlScope()
    const { script, shown, waitFor, ended } = onTerminal(`${unseal(control)}; echo "ended with $?"; stty -a`)
    await waitFor(PROMPT)
    script.stdin?.write(first.slice(0, 90))
    script.stdin?.write(typed)
    await ended
    expect(shown()).toContain(end)
    expect(shown()).toMatch(/ echo /)
    expect(shown()).toMatch(/ icanon /)
    expect(shown()).not.toContain(first.slice(20, 60))
    expect(control.asked).toEqual([])
  })
})
