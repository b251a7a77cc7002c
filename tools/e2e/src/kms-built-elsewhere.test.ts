import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { repositoryRoot } from '@sealwright/testing-rig'
import { testScope } from './test-scope.ts'

const scope = testScope()

/** The block of deploy/kms/README.md that begins so. */
function blockWith(start: string): string {
  const text = readFileSync(join(repositoryRoot(), 'deploy/kms/README.md'), 'utf8')
  const from = text.indexOf(`\`\`\`sh\n${start}`)
  if (from === -1) throw new Error(`there is no block that begins with ${start}`)
  return text.slice(from + '```sh\n'.length, text.indexOf('\n```', from))
}

describe('the programs that are built elsewhere', () => {
  it('run on a node that has nothing but them', async () => {
    const [clone, node] = [scope.folder.join('clone'), scope.folder.join('node')]
    await mkdir(clone)
    for (const name of ['apps', 'node_modules', 'tools']) await symlink(join(repositoryRoot(), name), join(clone, name))
    // The packages are there.
    const build = blockWith('npm ci').replace(/^npm ci .*$/m, '')
    const [opt, bin] = [join(node, 'opt'), join(node, 'bin')]
    const there = (block: string): string => block.replaceAll('/usr/local/bin', bin).replaceAll('/opt', opt)
    execFileSync('sh', ['-e', '-c', there(build)], { cwd: clone })
    await mkdir(opt, { recursive: true })
    await mkdir(bin)
    const install = there(blockWith('tar -xzf')).replace('sealwright.tar.gz', join(clone, 'sealwright.tar.gz'))
    const environment = { PATH: `${bin}:/usr/bin:/bin` }
    const said = execFileSync('sh', ['-e', '-c', install], { cwd: node, env: environment, encoding: 'utf8' })
    expect(said).toMatch(/^(\d+\.\d+\.\d+)\n\1\n$/)
    expect(readFileSync(join(bin, 'kms-plugin'), 'utf8')).toContain(
      ' --disable-sigusr1 --max-semi-space-size=8 --heap-growing-percent=20 ',
    )
  })
})
