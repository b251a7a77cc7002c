import { stat } from 'node:fs/promises'
import { assertOnlyOursToWrite } from './key-safety.ts'
import { bootstrapError } from './testing/bootstrap-error.ts'
import { tempFolder } from './testing/temp-folder.ts'

describe('the owner of what is mounted', () => {
  it('may be root or ourselves, and nobody else', async () => {
    await using folder = await tempFolder()
    const status = await stat(folder.path)
    const ownedBy = (uid: number) => () => {
      // Only root can give a file away, so the owner is made up.
      assertOnlyOursToWrite({
        path: folder.path,
        status: Object.assign(Object.create(status), { uid }) as typeof status,
      })
    }
    expect(ownedBy(status.uid)).not.toThrow()
    expect(ownedBy(0)).not.toThrow()
    expect(ownedBy(status.uid + 4242)).toThrow(
      bootstrapError('BOOTSTRAP_KEY_UNSAFE', /belongs to user \d+: find out why/) as Error,
    )
  })
})
