import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { NodeConfigError, parseNodeConfig } from './index.ts'

const minimal = 'seals: [{ name: tpm, type: tpm, priority: 1 }]'

const transit = (change: object): string =>
  JSON.stringify({
    seals: [
      {
        ...{ name: 'backup', type: 'transit', priority: 2, address: 'https://bao.example:8200', keyName: 'k' },
        ...{ auth: { method: 'token', tokenFile: '/t' }, ...change },
      },
    ],
  })

const pkcs11 = (change: object): string =>
  JSON.stringify({
    seals: [
      {
        ...{ name: 'hsm', type: 'pkcs11', priority: 2, module: '/m.so', token: { label: 't' }, key: { label: 'k' } },
        ...{ pinFile: '/pin', ...change },
      },
    ],
  })

const signer = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()

/** A configuration whose one seal is bound to a signer. */
function signedSeal(fields: Readonly<Record<string, unknown>>, beside = ''): string {
  const policy = { publicKey: pemOf(signer.publicKey), reference: 'v1', policiesFile: '/p', ...fields }
  return `seals: [{ name: a, type: tpm, priority: 1, ${beside} signedPolicy: ${JSON.stringify(policy)} }]`
}

function failure(text: string): NodeConfigError {
  try {
    parseNodeConfig(text, 'node.yaml')
  } catch (error) {
    if (error instanceof NodeConfigError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('a node configuration', () => {
  it('needs no more than one seal; the rest has defaults', () => {
    expect(parseNodeConfig(minimal, 'node.yaml')).toEqual({
      store: '/var/lib/sealwright/seal',
      seals: [
        {
          name: 'tpm',
          type: 'tpm',
          priority: 1,
          disabled: false,
          tpm: { device: '/dev/tpmrm0' },
          pcrs: [],
          deadlineMs: 30_000,
        },
      ],
      agent: {
        ipcDirectory: '/run/sealwright/ipc/seal',
        controlSocket: '/run/sealwright/control.sock',
        auditDirectory: '/var/lib/sealwright/audit',
        learnIntervalMs: 30_000,
        probeIntervalMs: 300_000,
        sealType: 'sealwright',
      },
    })
  })

  it('may have seals of every type', () => {
    for (const [text, type] of [
      [transit({}), 'transit'],
      [pkcs11({}), 'pkcs11'],
      ['seals: [{ name: people, type: shamir, priority: 100 }]', 'shamir'],
    ] as const) {
      expect(parseNodeConfig(text, 'node.yaml').seals[0]).toMatchObject({ type })
    }
  })

  it('may be JSON', () => {
    const text = JSON.stringify({ seals: [{ name: 'a', type: 'tpm', priority: 1, tpm: { socket: '/run/tpm' } }] })
    expect(parseNodeConfig(text, 'node.json').seals[0]).toMatchObject({ tpm: { socket: '/run/tpm' } })
  })

  it.each([
    ['an unknown field at the top', `${minimal}\nstoer: /x`, 'stoer is unknown here'],
    [
      'an unknown field of a seal',
      'seals: [{ name: a, type: tpm, priority: 1, pin: 7 }]',
      'seals.0.pin is unknown here',
    ],
    [
      'a type of seal that nobody knows',
      `${minimal}\nagent: { sealType: transit }`,
      'agent.sealType must be one of: sealwright, static',
    ],
    ['an unknown field of the agent', `${minimal}\nagent: { socket: /x }`, 'agent.socket is unknown here'],
    [
      'a client certificate without its key',
      transit({ tls: { certFile: '/c.pem' } }),
      'needs tls.certFile and tls.keyFile together, and both for auth.method cert',
    ],
    [
      'a login by certificate without one',
      transit({ auth: { method: 'cert' } }),
      'needs tls.certFile and tls.keyFile together, and both for auth.method cert',
    ],
    [
      'an unknown way to log in',
      transit({ auth: { method: 'oidc' } }),
      'seals.0.auth.method must be one of: token, approle, jwt, kubernetes, cert',
    ],
    [
      'a transit key over a network without TLS',
      transit({ address: 'http://bao.example:8200' }),
      'seals.0.address must be https://',
    ],
    [
      'a PKCS#11 token by its slot',
      pkcs11({ token: { slot: 1 } }),
      'seals.0.token must be { label: TEXT } or { serialNumber: TEXT }',
    ],
    [
      'an id of a key that is none',
      pkcs11({ key: { id: 'xyz' } }),
      'seals.0.key.id must be 1 to 64 bytes in lower-case hex (CKA_ID)',
    ],
    [
      'shares in the configuration',
      'seals: [{ name: a, type: shamir, priority: 1, shares: 3 }]',
      'seals.0.shares is unknown here',
    ],
    [
      'a cluster id that is none',
      `${minimal}\nclusterId: 12AB`,
      'clusterId must be 32 of 0-9 and a-f, as bootstrap-init prints it',
    ],
    ['no seals', 'store: /x', 'seals is missing'],
    [
      'a seal without a type',
      'seals: [{ name: a, priority: 1 }]',
      'seals.0.type is missing; it must be one of: tpm, pkcs11, transit, shamir',
    ],
    ['an empty list of seals', 'seals: []', 'seals must name at least one seal'],
    [
      'an unknown seal type',
      'seals: [{ name: a, type: tpn, priority: 1 }]',
      'seals.0.type must be one of: tpm, pkcs11, transit, shamir',
    ],
    ['a relative path', `${minimal}\nstore: seal`, 'store must be an absolute path'],
    ['a priority of 0', 'seals: [{ name: a, type: tpm, priority: 0 }]', 'seals.0.priority must be at least 1'],
    [
      'a fractional priority',
      'seals: [{ name: a, type: tpm, priority: 1.5 }]',
      'seals.0.priority must be a whole number',
    ],
    ['a PCR of 24', 'seals: [{ name: a, type: tpm, priority: 1, pcrs: [24] }]', 'seals.0.pcrs.0 must be at most 23'],
    ['a PCR named twice', 'seals: [{ name: a, type: tpm, priority: 1, pcrs: [7, 7] }]', 'names a PCR twice'],
    [
      'a storage key name that is too short',
      'seals: [{ name: a, type: tpm, priority: 1, storageKeyName: 000bff }]',
      'seals.0.storageKeyName must be 68 of 0-9 and a-f beginning with 000b',
    ],
    [
      'a signed policy beside a list of PCRs',
      signedSeal({}, 'pcrs: [7],'),
      'seals.0 has pcrs and signedPolicy: a seal is bound either',
    ],
    ['a reference with a space', signedSeal({ reference: 'v 1' }), 'seals.0.signedPolicy.reference must be 1 to 32 of'],
    [
      'a reference of 33 characters',
      signedSeal({ reference: 'v'.repeat(33) }),
      'seals.0.signedPolicy.reference must be 1 to 32 of',
    ],
    [
      'a private key of a policy signer',
      signedSeal({ publicKey: signer.privateKey.export({ type: 'pkcs8', format: 'pem' }) }),
      'seals.0.signedPolicy.publicKey must be a P-256 public key',
    ],
    [
      'a policy signer on another curve',
      signedSeal({ publicKey: pemOf(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey) }),
      'the private key must never lie on a node',
    ],
    [
      'a policy signer that is no key',
      signedSeal({ publicKey: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n' }),
      'seals.0.signedPolicy.publicKey must be a P-256 public key',
    ],
    [
      'an unknown field of a signed policy',
      signedSeal({ privateKeyFile: '/key' }),
      'seals.0.signedPolicy.privateKeyFile is unknown here',
    ],
    ['a name with a slash', 'seals: [{ name: a/b, type: tpm, priority: 1 }]', 'seals.0.name must be'],
    [
      'two TPM addresses in one',
      'seals: [{ name: a, type: tpm, priority: 1, tpm: { device: /d, socket: /s } }]',
      'seals.0.tpm must be',
    ],
    [
      'a shared name',
      'seals: [{ name: a, type: tpm, priority: 1 }, { name: a, type: tpm, priority: 2 }]',
      'share a name',
    ],
    [
      'a shared priority',
      'seals: [{ name: a, type: tpm, priority: 1 }, { name: b, type: tpm, priority: 1 }]',
      'share a priority',
    ],
    [
      'a shared file of policies',
      signedSeal({}).replace(
        /\[(.*)\]$/,
        (_, seal: string) => `[${seal}, ${seal.replace('name: a', 'name: b').replace('priority: 1', 'priority: 2')}]`,
      ),
      'share a signedPolicy.policiesFile',
    ],
    ['only disabled seals', 'seals: [{ name: a, type: tpm, priority: 1, disabled: true }]', 'every seal is disabled'],
    [
      'a plain key file that nothing would remove',
      `${minimal}\nagent: { staticDelivery: { directory: /run/s, current: k1, unsafePlainKeyFile: true } }`,
      'needs openbao.address',
    ],
    ['an address without scheme', `${minimal}\nopenbao: { address: "localhost:8200" }`, 'openbao.address must begin'],
  ])('refuses %s, and names the field', (_what, text, message) => {
    const error = failure(text)
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toContain('node.yaml: ')
    expect(error.message).toContain(message)
  })

  it('says of a missing field no more than that', () => {
    const { message } = failure('seals: [{ name: a, type: tpm }]')
    expect(message).toBe('node.yaml: seals.0.priority is missing')
  })

  it.each(['http://10.0.0.1:8200', 'http://bao.example', 'http://127.evil.example', 'http://0.0.0.0:8200'])(
    'refuses %s as the address of OpenBao: the network could read and change what is said',
    address => {
      const { code, message } = failure(`${minimal}\nopenbao: { address: "${address}" }`)
      expect(code).toBe('CONFIG_INVALID')
      expect(message).toContain('openbao.address must be https://: http:// is for loopback only')
    },
  )

  it.each(['http://127.0.0.1:8200', 'http://127.1.2.3', 'http://[::1]:8200', 'http://localhost:8200', 'https://b:1'])(
    'takes %s as the address of OpenBao',
    address => {
      const { openbao } = parseNodeConfig(`${minimal}\nopenbao: { address: "${address}" }`, 'node.yaml')
      expect(openbao?.address).toBe(address)
    },
  )

  it.each([
    ['broken YAML', 'seals: ['],
    ['a key given twice', `${minimal}\n${minimal}`],
    ['an alias', 'seals: &a []\nx: *a'],
  ])('refuses %s as syntax', (_what, text) => {
    expect(failure(text).code).toBe('CONFIG_SYNTAX')
  })

  it('takes a seal that is bound to a signer, its key written as a block of text', () => {
    const key = pemOf(signer.publicKey)
    const block = key.trimEnd().replaceAll('\n', '\n        ')
    const text = [
      'seals:',
      '  - { name: other, type: tpm, priority: 2 }',
      '  - name: tpm',
      '    type: tpm',
      '    priority: 1',
      '    signedPolicy:',
      '      reference: node-1.v1',
      '      policiesFile: /etc/sealwright/policies.json',
      '      publicKey: |',
      `        ${block}`,
    ].join('\n')
    expect(parseNodeConfig(text, 'node.yaml').seals[1]).toMatchObject({
      pcrs: [],
      signedPolicy: { publicKey: key, reference: 'node-1.v1', policiesFile: '/etc/sealwright/policies.json' },
    })
  })

  it('takes the name of a TPM as it is printed, with or without quotes', () => {
    const name = `000b${'0e'.repeat(32)}`
    for (const written of [name, `"${name}"`]) {
      const text = `seals: [{ name: a, type: tpm, priority: 1, storageKeyName: ${written} }]`
      expect(parseNodeConfig(text, 'node.yaml').seals[0]).toMatchObject({ storageKeyName: name })
    }
  })

  it('lets a disabled seal share a name and a priority', () => {
    const text = 'seals: [{ name: a, type: tpm, priority: 1 }, { name: a, type: tpm, priority: 1, disabled: true }]'
    expect(parseNodeConfig(text, 'node.yaml').seals).toHaveLength(2)
  })
})
