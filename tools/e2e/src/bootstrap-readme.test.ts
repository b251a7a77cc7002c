import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { programCommand, runProgramToEnd } from '@sealwright/testing-cluster'
import { repositoryRoot, SEARCH_PATH } from '@sealwright/testing-rig'
import { newNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const README = readFileSync(join(repositoryRoot(), 'apps/bootstrap-init/README.md'), 'utf8')
const TIMEOUT_MS = 60_000

const scope = testScope()

describe('the README of bootstrap-init', () => {
  it('shows an example that works as it stands', async () => {
    const { node } = await newNode(scope)
    const { folder } = scope
    /** The paths of a real node, moved into the folder of this test. */
    const here = (shown: string): string =>
      shown
        .replaceAll('device: /dev/tpmrm0', `socket: ${node.tpm.socketPath}`)
        .replaceAll(/\/(etc|var|run|openbao)\//g, `${folder.path}/$1/`)
    await mkdir(folder.join('etc/sealwright'), { recursive: true, mode: 0o700 })
    await writeFile(folder.join('etc/sealwright/node.yaml'), here(blocksOf('yaml').join('')), { mode: 0o600 })
    const { command, args } = programCommand('bootstrap-init')
    const program = [command, ...args].map(word => `'${word}'`).join(' ')
    await writeFile(folder.join('bootstrap-init'), `#!/bin/sh\nexec ${program} "$@"\n`, { mode: 0o700 })

    const printed = execFileSync('sh', ['-euc', here(blocksOf('sh').join(''))], {
      env: { PATH: `${folder.path}:${dirname(command)}:${SEARCH_PATH}` },
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    })

    const withoutSum = (text: string): string => text.replaceAll(/"[0-9a-f]{6,68}…?"/g, '"…"')
    expect(withoutSum(printed)).toBe(withoutSum(here(blocksOf('text').join(''))))
    expect(existsSync(folder.join('run/bootstrap/seal-key'))).toBe(false)
  })

  it('names every option and every exit code of the program', async () => {
    const { stdout, exitCode } = await runProgramToEnd('bootstrap-init', ['--help'])

    expect(exitCode).toBe(0)
    const options = [...stdout.matchAll(/--[a-z-]+/g)].map(([option]) => option)
    expect(options).toEqual(expect.arrayContaining(['--config', '--seal-key', '--new-tpm', '--reseal', '--json']))
    for (const option of options) if (option !== '--help') expect(README).toContain(`\`${option}`)
    const codes = [...(/Exit codes: (.*)/s.exec(stdout)?.[1] ?? '').matchAll(/(?:^|, ?\n?)(\d+) /g)]
    expect(codes.length).toBe(9)
    for (const [, code = 'no code'] of codes) expect(README).toMatch(new RegExp(`^\\| ${code} +\\|`, 'm'))
  })
})

/** The code blocks of this language, in their order. */
function blocksOf(language: string): readonly string[] {
  const blocks = [...README.matchAll(new RegExp('```' + language + '\\n(.*?)```', 'gs'))].map(([, block = '']) => block)
  if (blocks.length === 0) throw new Error(`the README has no ${language} block`)
  return blocks
}
