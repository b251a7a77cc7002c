import { mkdir, writeFile } from 'node:fs/promises'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { runHere } from '../testing/run-here.ts'

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

/** A node whose agent would log there. */
async function nodeYaml(auditDirectory: string): Promise<string> {
  const seals = [{ name: 'people', type: 'shamir', priority: 1 }]
  const config = { store: folder.join('seal'), agent: { auditDirectory }, seals }
  await writeFile(folder.join('node.yaml'), JSON.stringify(config), { mode: 0o600 })
  return folder.join('node.yaml')
}

const verify = (...args: readonly string[]) => runHere(['audit', 'verify', ...args])

describe('sealctl audit verify', () => {
  it('reads the log that the configuration names, or the folder that is given instead', async () => {
    const [own, copy] = [folder.join('own'), folder.join('copy')]
    await mkdir(own)
    await mkdir(copy)
    const config = await nodeYaml(own)
    expect(await verify('--config', config)).toEqual({
      ...{ exitCode: 0, stderr: '', stdout: `there is no audit log in ${own}\n` },
    })
    const missing = folder.join('nothing.yaml')
    expect(JSON.parse((await verify('--config', missing, '--directory', copy, '--json')).stdout)).toEqual({
      ...{ directory: copy, kind: 'empty' },
    })
  })

  it('says that the configuration cannot be read where no folder is given', async () => {
    const { exitCode, stderr } = await verify('--config', folder.join('nothing.yaml'))
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^sealctl: CONFIG_UNREADABLE: /)])
  })
})
