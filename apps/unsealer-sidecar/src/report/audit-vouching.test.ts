import { randomBytes } from 'node:crypto'
import { openAuditLog, verifyAuditLog } from '@sealwright/audit-log'
import { OpenKeyring } from '@sealwright/keyring'
import { temporaryFolder } from '@sealwright/testing-rig'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, rotated } from '../testing/keyrings.ts'
import { auditVouching } from './audit-vouching.ts'

const { signal } = new AbortController()

describe('the audit log of an open agent', () => {
  it('is vouched for by each generation that was current, and by none before it opened', async () => {
    await using folder = await temporaryFolder()
    const first = await begun([fakeSeal()])
    const second = rotated(first)
    const [old, now] = [first, second].map(({ keyring, sealKeys }) => OpenKeyring.from(keyring, sealKeys))
    if (old === undefined || now === undefined) throw new Error('two were made')
    const directory = folder.join('audit')
    {
      await using audit = openAuditLog({ directory, node: 'node', now: Date.now, onFailure: fail })
      const vouch = auditVouching(audit)
      audit.append({ kind: 'agent-started', version: '1', pid: 1 })
      vouch(undefined)
      for (const held of [old, old, now, now]) vouch(held)
    }
    const verify = (findCheckpointKey: (keyId: string) => ReturnType<OpenKeyring['auditKey']>) =>
      verifyAuditLog(directory, { signal, findCheckpointKey })
    const whole = { kind: 'intact', summary: { tally: { checkpoints: { genuine: 2, unchecked: 0, vouchedUpTo: 4 } } } }
    expect(await verify(keyId => now.auditKey(keyId))).toMatchObject(whole)
    expect(await verify(keyId => old.auditKey(keyId))).toMatchObject({
      summary: { tally: { checkpoints: { genuine: 1, unchecked: 1 } } },
    })
    const stranger = OpenKeyring.from(...keyringOf(await begun([fakeSeal()], randomBytes(8).toString('hex'))))
    expect(await verify(() => stranger.auditKey())).toMatchObject({
      kind: 'broken',
      fault: { kind: 'forged-checkpoint' },
    })
  })
})

function keyringOf({ keyring, sealKeys }: Awaited<ReturnType<typeof begun>>) {
  return [keyring, sealKeys] as const
}

function fail(error: unknown): never {
  throw error
}
