import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { programCommand, type ProgramName } from '@sealwright/testing-cluster'
import { repositoryRoot } from '@sealwright/testing-rig'
import { testScope } from './test-scope.ts'

const scope = testScope()

const PROGRAMS: readonly ProgramName[] = ['bootstrap-init', 'unsealer-sidecar', 'sealctl', 'kms-plugin']

function textOf(document: string): string {
  return readFileSync(join(repositoryRoot(), document), 'utf8')
}

/** The options of Node that a program is tested with. */
function nodeOptionsOf(name: ProgramName): readonly string[] {
  return programCommand(name).args.filter(argument => argument.startsWith('--'))
}

describe('the programs that the README installs', () => {
  it('are all of them, each started as it was tested', async () => {
    const [, block = ''] = /```sh\n([^`]*for app in[^`]*)```/.exec(textOf('README.md')) ?? []
    const folder = scope.folder.join('bin')
    await mkdir(folder)
    execFileSync('sh', ['-e', '-c', block.replaceAll('/usr/local/bin', folder)], { cwd: repositoryRoot() })
    for (const name of PROGRAMS) {
      const { command, args } = programCommand(name)
      const words = readFileSync(join(folder, name), 'utf8').replaceAll('"', '').trimEnd()
      expect(words).toBe(`#!/bin/sh\nexec ${[command, ...args].join(' ')} $@`)
      expect(execFileSync(join(folder, name), ['--version'], { encoding: 'utf8' })).toMatch(/^\d+\.\d+\.\d+\n$/)
    }
  })

  it('have their options of Node in the READMEs that show them', () => {
    const [, entrypoint = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(textOf('deploy/kms/README.md')) ?? []
    const options = nodeOptionsOf('kms-plugin')
    expect(JSON.parse(entrypoint)).toEqual(['node', ...options, '/opt/sealwright/main.mjs'])
    expect(textOf('apps/kms-plugin/README.md')).toContain(`\nnode ${options.join(' ')} main.mjs --config `)
  })
})
