import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '@sealwright/testing-rig'
import { runHere } from '../../testing/run-here.ts'

const DOCUMENTS = [
  'docs/runbooks/kms.md',
  'docs/runbooks/kms-keyring.md',
  'deploy/kms/README.md',
  'apps/kms-plugin/README.md',
] as const

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

  it.each(['docs/runbooks/kms.md', 'docs/runbooks/kms-keyring.md', 'deploy/kms/README.md'])(
    '%s redirects onto no file that may be in use',
    document => {
      const text = readFileSync(join(repositoryRoot(), document), 'utf8')
      expect(text.match(/^.*(?:sealctl|bao|kubectl) .*>{1,2} *\/.*$/gm)).toBeNull()
    },
  )

  it('has asked for what is in clear before it takes identity away', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    const asked = text.indexOf('sealctl kms verify-rotation --encryption-config')
    expect(asked).toBeGreaterThan(0)
    expect(asked).toBeLessThan(text.indexOf('encryption-config --final'))
  })

  it('warns of backups before it retires a version', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms.md'), 'utf8')
    expect(text.indexOf('A backup of etcd needs the versions')).toBeLessThan(text.indexOf('min_decryption_version=2'))
  })

  it('has retired versions of a keyring come back, and says before that what has to be looked at', () => {
    const text = readFileSync(join(repositoryRoot(), 'docs/runbooks/kms-keyring.md'), 'utf8')
    const [verified, retired, restored] = ['verify-key  ', 'keyring retire 1', 'keyring restore'].map(each =>
      text.indexOf(each),
    )
    expect(verified).toBeGreaterThan(0)
    expect(verified).toBeLessThan(retired ?? 0)
    expect(retired).toBeLessThan(restored ?? 0)
  })
})
