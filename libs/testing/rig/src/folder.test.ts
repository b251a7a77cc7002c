import { stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { freePort, MAX_FOLDER_PATH_BYTES, temporaryFolder } from './index.ts'

describe('temporaryFolder', () => {
  it('gives a short private folder, gone when it is disposed of', async () => {
    let path: string
    {
      await using folder = await temporaryFolder()
      path = folder.path
      expect(Buffer.byteLength(path)).toBeLessThanOrEqual(MAX_FOLDER_PATH_BYTES)
      expect((await stat(path)).mode & 0o777).toBe(0o700)
      await writeFile(folder.join('file'), 'x')
    }
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('can be removed twice', async () => {
    const folder = await temporaryFolder()
    await folder.remove()
    await folder.remove()
  })
})

describe('freePort', () => {
  it('gives different ports on which a server can listen', async () => {
    const ports = await Promise.all(Array.from({ length: 20 }, async () => await freePort()))
    expect(new Set(ports).size).toBe(ports.length)
    const server = createServer()
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    server.once('error', reject)
    server.listen({ port: ports[0], host: '127.0.0.1' }, () => {
      server.close(() => {
        resolve(undefined)
      })
    })
    await promise
  })
})
