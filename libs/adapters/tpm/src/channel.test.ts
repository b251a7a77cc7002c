import { isManaged } from './channel.ts'

describe('the slots of a TPM', () => {
  it('are managed by the kernel behind /dev/tpmrm0 alone', () => {
    expect(isManaged({ kind: 'device', path: '/dev/tpmrm0' })).toBe(true)
    expect(isManaged({ kind: 'device', path: '/dev/tpm0' })).toBe(false)
    expect(isManaged({ kind: 'unix', path: '/run/swtpm' })).toBe(false)
    expect(isManaged({ kind: 'tcp', host: '127.0.0.1', port: 2321 })).toBe(false)
  })
})
