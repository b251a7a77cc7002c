import { encryptionConfiguration } from './encryption.ts'

describe('encryptionConfiguration', () => {
  it('writes the providers in their order, for Secrets', () => {
    const kms = { name: 'sealwright', socketPath: '/run/kms.sock' }
    expect(JSON.parse(encryptionConfiguration({ providers: [{ kms }, 'identity'] }))).toEqual({
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'EncryptionConfiguration',
      resources: [
        {
          resources: ['secrets'],
          providers: [
            { kms: { apiVersion: 'v2', name: 'sealwright', endpoint: 'unix:///run/kms.sock' } },
            { identity: {} },
          ],
        },
      ],
    })
  })

  it('writes the time limit of a call, and other resources', () => {
    const kms = { name: 'sealwright', socketPath: '/run/kms.sock', timeoutMs: 1500 }
    const text = encryptionConfiguration({ providers: [{ kms }], resources: ['secrets', 'configmaps'] })
    expect(JSON.parse(text)).toMatchObject({
      resources: [{ resources: ['secrets', 'configmaps'], providers: [{ kms: { timeout: '1500ms' } }] }],
    })
  })
})
