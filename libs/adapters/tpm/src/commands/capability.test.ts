import { randomBytes } from 'node:crypto'

import { type Swtpm, type TemporaryFolder, startSwtpm, temporaryFolder } from '@sealwright/testing-rig'
import { TPM_CC_GetCapability } from '@sealwright/tpm-wire'

import { type FrameProxy, commandCodeOf, startFrameProxy } from '../fixtures/frame-proxy.ts'
import { type TpmAccess } from '../operation.ts'
import { readTpmStatus } from '../status.ts'

let folder: TemporaryFolder
let swtpm: Swtpm
let proxy: FrameProxy
let access: TpmAccess

beforeEach(async () => {
  folder = await temporaryFolder()
  swtpm = await startSwtpm({ directory: folder.path })
  const path = folder.join('proxy.sock')
  proxy = await startFrameProxy(path, swtpm.socketPath)
  access = { transport: { kind: 'unix', path }, timeoutMs: 10_000, randomBytes }
})

afterEach(async () => {
  await proxy.close()
  await swtpm.stop()
  await folder.remove()
})

describe('a TPM that tells one thing at a time', () => {
  const COUNT_OFFSET = 18

  it('is asked until it has told all', async () => {
    const whole = await readTpmStatus(access)
    let answers = 0
    proxy.intercept = async (command, forward) => {
      if (commandCodeOf(command) === TPM_CC_GetCapability) {
        answers += 1
        new DataView(command.buffer).setUint32(COUNT_OFFSET, 1)
      }
      return forward()
    }
    expect(await readTpmStatus(access)).toEqual(whole)
    expect(answers).toBeGreaterThan(10)
  })

  it('is not asked for ever when it tells the same again and again', async () => {
    let first: Uint8Array | undefined
    proxy.intercept = async (command, forward) => {
      if (commandCodeOf(command) !== TPM_CC_GetCapability) return forward()
      new DataView(command.buffer).setUint32(COUNT_OFFSET, 1)
      first ??= await forward()
      return first
    }
    await expect(readTpmStatus(access)).rejects.toMatchObject({ code: 'TPM_PROTOCOL' })
  })
})
