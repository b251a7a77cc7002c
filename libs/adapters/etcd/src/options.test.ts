import { Secret } from '@sealwright/secret'
import { openEtcd } from './index.ts'

const refusal = (message: RegExp): object =>
  expect.objectContaining({ code: 'ETCD_OPTIONS_INVALID', message: expect.stringMatching(message) as string }) as object

describe('the options', () => {
  it.each([
    [[], /at least one/],
    [['127.0.0.1:2379'], /must be https|not known/],
    [['etcd'], /must be https/],
    [['ftp://127.0.0.1:2379'], /"ftp:" is not known/],
    [['http://10.0.0.1:2379'], /only loopback/],
    [['http://user:hunter2@127.0.0.1:2379'], /must not hold/],
    [['http://127.0.0.1:2379/v3'], /end after the port/],
    [['http://127.0.0.1:2379/?a'], /end after the port/],
    [['https://127.0.0.1:2379'], /needs the CA/],
  ])('refuse the addresses %j', (endpoints, message) => {
    expect(() => openEtcd({ endpoints })).toThrow(refusal(message) as Error)
    expect(() => openEtcd({ endpoints })).not.toThrow(/hunter2/)
  })

  it.each([['http://127.0.0.1:2379'], ['http://127.8.0.1:2379'], ['http://[::1]:2379'], ['http://localhost:2379/']])(
    'take %s, which shows nothing to a network',
    async endpoint => {
      await using etcd = openEtcd({ endpoints: [endpoint] })
      expect(etcd.scan).toBeInstanceOf(Function)
    },
  )

  it('refuse certificates where they would promise what they cannot keep, and those that are none', () => {
    const http = { endpoints: ['http://127.0.0.1:2379'] }
    const https = { endpoints: ['https://127.0.0.1:2379'] }
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
    using privateKeyPem = new Secret(Uint8Array.from(Buffer.from('no key')))
    expect(() => openEtcd({ ...http, caPem: broken })).toThrow(refusal(/https addresses only/) as Error)
    expect(() => openEtcd({ ...https, caPem: 'nothing' })).toThrow(refusal(/no PEM/) as Error)
    expect(() => openEtcd({ ...https, caPem: broken })).toThrow(refusal(/is broken/) as Error)
    expect(() => openEtcd({ ...http, clientCertificate: { certificatePem: '', privateKeyPem } })).toThrow(
      refusal(/https addresses only/) as Error,
    )
  })
})
