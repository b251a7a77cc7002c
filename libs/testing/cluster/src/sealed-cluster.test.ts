import { existsSync, readFileSync, statSync } from 'node:fs'
import { findProcesses, temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { createSealedCluster } from './sealed-cluster.ts'

let folder: TemporaryFolder

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  await folder.remove()
})

const programs = () =>
  findProcesses(({ commandLine }) => commandLine.some(argument => argument.includes(`${folder.path}/`)))

describe('a sealed cluster', () => {
  it('has a TPM a node, one seal key in the form of the bootstrap Secret, and leaves nothing running', async () => {
    const cluster = await createSealedCluster({ directory: folder.path, nodeNames: ['a', 'b'] })
    expect(programs()).toHaveLength(2)
    const sealKeyPath = `${cluster.sealKeyPath}/seal-key`
    expect(statSync(sealKeyPath).mode & 0o777).toBe(0o600)
    expect(Buffer.from(readFileSync(sealKeyPath, 'utf8'), 'base64')).toHaveLength(32)
    expect(new Set(cluster.nodes.map(({ apiAddress }) => apiAddress)).size).toBe(2)

    await cluster.destroySealKey()
    expect(existsSync(sealKeyPath)).toBe(false)
    await cluster[Symbol.asyncDispose]()
    expect(programs()).toEqual([])
  })
})
