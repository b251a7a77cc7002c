import { parseNodeConfig } from '@sealwright/node-config'
import { fakeSeal } from '../testing/fake-seal.ts'
import { begun, enrolled } from '../testing/keyrings.ts'
import { sealFacts } from './facts.ts'

const tpm = { name: 'tpm', type: 'tpm', priority: 1, tpm: { socket: '/tpm' } }
const second = { ...tpm, name: 'second', priority: 2 }

function configured(...seals: readonly object[]) {
  return parseNodeConfig(JSON.stringify({ store: '/s', seals }), 'node.yaml').seals
}

describe('the seal that has opened a node', () => {
  it('is marked in the list as the status names it, also after it was taken out of the configuration and put back', async () => {
    const { keyring } = await enrolled(await begun([fakeSeal()]), [fakeSeal({ name: 'second', device: 'b' })])
    for (const seals of [configured(tpm, second), configured(second), configured(second, tpm)]) {
      const opened = sealFacts(keyring, seals, 'tpm').filter(({ hasOpened }) => hasOpened)
      expect(opened.map(({ name }) => name)).toEqual(['tpm'])
    }
  })
})
