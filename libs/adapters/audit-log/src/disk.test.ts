import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@sealwright/testing-rig'

const program = fileURLToPath(new URL('testing/full-disk.ts', `file://${__filename}`))

describe('a disk that is full', () => {
  it('cuts no line that was written, and gets all others once there is room: AUDIT_LOG_WRITE_FAILED', async () => {
    await using folder = await temporaryFolder()
    const options = { encoding: 'utf8', input: folder.path } as const
    const printed = execFileSync('unshare', ['-rm', process.execPath, program], options)
    const told = JSON.parse(printed) as { readonly whenFull: string }
    expect(['intact', 'unfinished-end']).toContain(told.whenFull)
    expect(told).toMatchObject({
      codes: ['AUDIT_LOG_WRITE_FAILED'],
      ...{ afterwards: 'written', verified: 'intact', isComplete: true, lastFound: true },
    })
  })
})
