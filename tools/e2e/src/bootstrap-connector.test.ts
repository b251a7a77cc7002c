import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CONNECTOR_NAME, type SealedNode } from '@sealwright/testing-cluster'
import { repositoryRoot } from '@sealwright/testing-rig'
import { type BootstrapAnswer, BOOTSTRAP_EXIT, expectBootstraps, expectRefusal } from './bootstrap-run.ts'
import { newNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const shipped = join(repositoryRoot(), 'apps/bootstrap-init/dist', CONNECTOR_NAME)

const scope = testScope()
let node: SealedNode
let sealKeyPath: string
let placed: string

beforeEach(async () => {
  ;({ node, sealKeyPath } = await newNode(scope))
  placed = join(node.pluginDirectory, CONNECTOR_NAME)
})

/** Bootstraps, which must go well, and tells what became of the connector. */
async function placeConnector(
  result: 'created' | 'unchanged',
  extraArgs?: readonly string[],
): Promise<BootstrapAnswer['connector']> {
  return (await expectBootstraps(node, sealKeyPath, result, extraArgs)).connector
}

function sha256Of(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

async function modeOf(path: string): Promise<number> {
  return (await lstat(path)).mode & 0o7777
}

describe('the connector', () => {
  it('is put into the plugin folder, executable for all and writable for none, and then left alone', async () => {
    const sha256 = sha256Of(readFileSync(shipped))

    expect(await placeConnector('created')).toEqual({ outcome: 'placed', path: placed, sha256 })
    const { ino } = await lstat(placed)
    expect(await modeOf(placed)).toBe(0o555)
    expect(readFileSync(placed)).toEqual(readFileSync(shipped))

    expect(await placeConnector('unchanged')).toMatchObject({ outcome: 'unchanged', sha256 })
    expect((await lstat(placed)).ino).toBe(ino)
  })

  it('leaves another version of itself alone, whose hash OpenBao was given, until it is told to replace it', async () => {
    const older = '#!/bin/sh\n# Sealwright connector of another release\n'
    await writeFile(placed, older, { mode: 0o555 })
    const carriedSha256 = sha256Of(readFileSync(shipped))

    expect(await placeConnector('created')).toEqual({
      outcome: 'kept',
      path: placed,
      sha256: sha256Of(older),
      carriedSha256,
    })
    expect(await readFile(placed, 'utf8')).toBe(older)

    const replaced = await placeConnector('unchanged', ['--replace-connector'])
    expect(replaced).toEqual({ outcome: 'replaced', path: placed, sha256: carriedSha256 })
    expect(readFileSync(placed)).toEqual(readFileSync(shipped))
  })

  it('gets its mode back where somebody changed it', async () => {
    await placeConnector('created')
    await chmod(placed, 0o777)
    expect(await placeConnector('unchanged')).toMatchObject({ outcome: 'replaced' })
    expect(await modeOf(placed)).toBe(0o555)
    expect(readFileSync(placed)).toEqual(readFileSync(shipped))
    expect(await readdir(node.pluginDirectory)).toEqual([CONNECTOR_NAME])
  })

  it('never replaces a file that is not ours, and nothing else is done meanwhile', async () => {
    const foreign = '#!/bin/sh\necho somebody else\n'
    await writeFile(placed, foreign, { mode: 0o700 })

    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_FILE_NOT_OURS', BOOTSTRAP_EXIT.store)
    expect(await readFile(placed, 'utf8')).toBe(foreign)
    expect(existsSync(node.storePath)).toBe(false)

    await rm(placed)
    expect(await placeConnector('created')).toMatchObject({ outcome: 'placed' })
  })

  it('needs its folder', async () => {
    await rm(node.pluginDirectory, { recursive: true })

    expectRefusal(await node.bootstrap(sealKeyPath), 'STORE_NOT_FOUND', BOOTSTRAP_EXIT.store)
    expect(existsSync(node.storePath)).toBe(false)

    await mkdir(node.pluginDirectory, { mode: 0o700 })
    expect(await placeConnector('created')).toMatchObject({ outcome: 'placed' })
  })
})
