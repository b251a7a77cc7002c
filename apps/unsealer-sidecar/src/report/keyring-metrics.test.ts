import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, enrolled, rotated } from '../testing/keyrings.ts'
import { keyringNumbers } from './keyring-metrics.ts'
import { agentMetrics } from './metrics.ts'

describe('the numbers of a keyring', () => {
  it('say how far members are behind, and that a rotation is not finished', async () => {
    const seal = fakeSeal()
    const first = await begun([seal])
    expect(keyringNumbers(first.keyring)).toEqual({
      activeGenerations: 1,
      lagBySeal: new Map([['tpm', 0]]),
      quantumExposedBySeal: new Map([['tpm', 0]]),
    })
    const second = rotated(first)
    expect(keyringNumbers(second.keyring)).toMatchObject({ activeGenerations: 2, lagBySeal: new Map([['tpm', 1]]) })
    const metrics = agentMetrics(Date.now)
    metrics.setKeyring(keyringNumbers(second.keyring))
    const text = await metrics.text()
    expect(text).toContain('sealwright_seal_generation_lag{seal="tpm"} 1')
    expect(text).toContain('sealwright_keyring_active_generations 2')
  })

  it('count records that a quantum computer could open', async () => {
    const imported = await enrolled(await begun([fakeSeal()]), [fakeSeal({ device: 'b', method: 'tpm-imported' })])
    expect(keyringNumbers(imported.keyring).quantumExposedBySeal.get('tpm')).toBe(1)
  })
})
