import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { placeConnector, type PlacedConnector } from './connector.ts'
import { tempFolder, type TempFolder } from './testing/temp-folder.ts'

const connector = (release: string): string => `#!/bin/sh\n# Sealwright connector of release ${release}\n`
const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex')

let folder: TempFolder

beforeEach(async () => {
  folder = await tempFolder()
  await mkdir(join(folder.path, 'plugins'))
})

afterEach(async () => {
  await folder[Symbol.asyncDispose]()
})

/** Runs the program of a release. */
async function run(release: string, { replace = false } = {}): Promise<PlacedConnector> {
  await writeFile(join(folder.path, 'sealwright-connector'), connector(release))
  return await placeConnector(join(folder.path, 'plugins'), { programDirectory: folder.path, replace })
}

describe('the connector that an upgrade brings', () => {
  it('does not take the place of the one whose hash OpenBao was given, until somebody asks for it', async () => {
    const path = join(folder.path, 'plugins/sealwright-connector')
    const [one, two] = ['1', '2'].map(release => sha256Of(connector(release)))
    expect(await run('1')).toEqual({ outcome: 'placed', path, sha256: one })
    expect(await run('2')).toEqual({ outcome: 'kept', path, sha256: one, carriedSha256: two })
    expect(await readFile(path, 'utf8')).toBe(connector('1'))
    expect(await run('2', { replace: true })).toEqual({ outcome: 'replaced', path, sha256: two })
    expect(await readFile(path, 'utf8')).toBe(connector('2'))
    expect(await run('2')).toEqual({ outcome: 'unchanged', path, sha256: two })
  })
})
