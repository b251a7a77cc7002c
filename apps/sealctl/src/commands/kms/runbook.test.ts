import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '@sealwright/testing-rig'
import { runHere } from '../../testing/run-here.ts'

const DOCUMENTS = ['docs/runbooks/kms.md', 'deploy/kms/README.md', 'apps/kms-plugin/README.md'] as const

/** What a document tells an operator to call, from the name of the command on: in blocks, and within sentences. */
function callsIn(document: string): readonly string[] {
  const text = readFileSync(join(repositoryRoot(), document), 'utf8')
  const inBlocks = [...text.matchAll(/^(?:sealctl) (.+)$/gm)].map(([, line = '']) => line)
  const inSentences = [...text.matchAll(/`sealctl ([^`]+)`/g)].map(([, line = '']) => line)
  // Without remarks, and where the output goes.
  return [...inBlocks, ...inSentences].map(line =>
    line
      .replace(/ +#.*$| > .*$| \|.*$/g, '')
      .replaceAll('\n', ' ')
      .trim(),
  )
}

const calls = DOCUMENTS.flatMap(document => callsIn(document).map(call => [document, call] as const))

describe('the runbook', () => {
  it('has been found', () => {
    expect(calls.length).toBeGreaterThan(20)
  })

  it.each(calls)('%s tells of a command and options that exist: sealctl %s', async (_document, call) => {
    const words = call.split(' ').filter(word => word !== '…')
    const firstOption = words.findIndex(word => word.startsWith('-'))
    const names = (firstOption === -1 ? words : words.slice(0, firstOption)).filter(word =>
      /^[a-z]+(-[a-z]+)*$/.test(word),
    )
    const { exitCode, stdout } = await runHere([...names, '--help'])
    expect([call, exitCode]).toEqual([call, 0])
    expect(stdout).toMatch(new RegExp(`^Usage: sealctl ${names.join(' ')}( |$)`, 'm'))
    for (const option of words.filter(word => word.startsWith('--'))) expect(stdout).toContain(`${option} `)
  })

  it('warns of backups before it retires a version', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    expect(text.indexOf('A backup of etcd needs the versions')).toBeLessThan(text.indexOf('min_decryption_version=2'))
  })
})
