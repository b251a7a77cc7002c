import { NodeConfigError } from '@sealwright/node-config'
import { parseKmsConfig } from './index.ts'

const transit = {
  type: 'transit',
  addresses: ['https://bao.example.org:8200'],
  keyName: 'kubernetes',
  auth: { method: 'token', tokenFile: '/etc/sealwright/kms/token' },
}
const keyring = { type: 'keyring', seals: [{ name: 'tpm', type: 'tpm', priority: 1 }] }
const config = { clusterId: 'prod-1', backend: transit }

const parse = (value: unknown) => parseKmsConfig(JSON.stringify(value), 'kms.yaml')

/** What the refusal of a configuration says. */
function refusal(value: unknown): string {
  try {
    parse(value)
  } catch (error) {
    if (error instanceof NodeConfigError) return error.message
    throw error
  }
  return 'none'
}

describe('the configuration of a KMS plugin', () => {
  it('needs little, and is complete', () => {
    expect(parse(config)).toEqual({
      clusterId: 'prod-1',
      backend: {
        ...{ ...transit, mountPath: 'transit', tls: { unsafelySkipVerify: false } },
        ...{ deadlineMs: 2_500, patienceMs: 800 },
      },
      socket: { path: '/run/sealwright/kms/kms.sock', mode: 0o600 },
      statusSocket: '/run/sealwright/kms/status.sock',
      stateDirectory: '/var/lib/sealwright/kms/state',
      rotation: { stableObservations: 3, activationDelayMs: 300_000 },
      probe: { intervalMs: 10_000, retryIntervalMs: 1_000, unhealthyAfterFailures: 2, staleAfterMs: 60_000 },
    })
    expect(parse({ clusterId: 'prod-1', backend: keyring }).backend).toMatchObject({
      type: 'keyring',
      store: '/var/lib/sealwright/kms/keyring',
    })
  })

  it('is YAML', () => {
    const yaml = [
      'clusterId: prod-1',
      'backend:',
      '  type: transit',
      '  addresses: [https://bao.example.org:8200]',
      '  keyName: kubernetes',
      '  auth: { method: token, tokenFile: /etc/sealwright/kms/token }',
      'socket: { mode: "0660", groupId: 1000 }',
    ].join('\n')
    expect(parseKmsConfig(yaml, 'kms.yaml').socket).toMatchObject({ mode: 0o660, groupId: 1000 })
  })

  it.each([
    ['an unknown field', { ...config, extra: 1 }, 'extra is unknown here'],
    ['an unknown field within', { ...config, probe: { every: 1 } }, 'probe.every is unknown here'],
    [
      'an unknown field of the backend',
      { ...config, backend: { ...transit, key: 'a' } },
      'backend.key is unknown here',
    ],
    ['no cluster id', { backend: transit }, 'clusterId is missing'],
    ['a cluster id with a capital', { ...config, clusterId: 'Prod' }, 'clusterId must be 1 to 63 of'],
    ['a cluster id that ends in a dot', { ...config, clusterId: 'prod.' }, 'clusterId must be 1 to 63 of'],
    ['another backend', { ...config, backend: { type: 'vault' } }, 'must be one of: transit, keyring'],
    ['no address', { ...config, backend: { ...transit, addresses: [] } }, 'must name at least one'],
    [
      'an address twice',
      { ...config, backend: { ...transit, addresses: [...transit.addresses, ...transit.addresses] } },
      'names one twice',
    ],
    [
      'plain HTTP to another machine',
      { ...config, backend: { ...transit, addresses: ['http://bao.example.org:8200'] } },
      'must be https://',
    ],
    [
      'a deadline that nobody waits for',
      { ...config, backend: { ...transit, deadlineMs: 3_000 } },
      'must be below 3000',
    ],
    ['no patience', { ...config, backend: { ...transit, patienceMs: 0 } }, 'patienceMs'],
    [
      'a login by certificate without one',
      { ...config, backend: { ...transit, auth: { method: 'cert' } } },
      'needs tls.certFile and tls.keyFile',
    ],
    ['a mode that lets others in', { ...config, socket: { mode: '0666' } }, 'must give nothing to others'],
    ['a mode that keeps its owner out', { ...config, socket: { mode: '0060' } }, 'must let its owner read and write'],
    ['a mode that is a number', { ...config, socket: { mode: 600 } }, 'socket.mode'],
    ['a mode that is not octal', { ...config, socket: { mode: '0980' } }, 'must be an octal mode in quotation marks'],
    ['a socket that is no absolute path', { ...config, socket: { path: 'kms.sock' } }, 'must be an absolute path'],
    ['a keyring without seals', { ...config, backend: { type: 'keyring', seals: [] } }, 'must name at least one seal'],
  ])('is refused with %s', (_what, value, words) => {
    expect(refusal(value)).toContain('kms.yaml: ')
    expect(refusal(value)).toContain(words)
  })
})
