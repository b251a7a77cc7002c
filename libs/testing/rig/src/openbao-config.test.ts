import { openBaoHcl, type OpenBaoSettings, RigError } from './index.ts'

const plain: OpenBaoSettings = {
  directory: '/lab/n1',
  nodeId: 'n1',
  apiPort: 8200,
  clusterPort: 8201,
  seal: { kind: 'shamir' },
}

describe('openBaoHcl', () => {
  it('writes a node without TLS', () => {
    expect(openBaoHcl(plain)).toBe(`api_addr = "http://127.0.0.1:8200"
cluster_addr = "https://127.0.0.1:8201"
log_level = "info"
storage "raft" {
  path = "/lab/n1/data"
  node_id = "n1"
  performance_multiplier = 1
}
listener "tcp" {
  address = "127.0.0.1:8200"
  cluster_address = "127.0.0.1:8201"
  tls_disable = true
}
`)
  })

  it('writes TLS, joins, our seal and what else is given', () => {
    const text = openBaoHcl({
      ...plain,
      tls: { certificatePath: '/c', privateKeyPath: '/k', caPath: '/ca', clientCaPath: '/cc' },
      retryJoin: ['https://127.0.0.1:1', 'https://127.0.0.1:2'],
      performanceMultiplier: 5,
      logLevel: 'debug',
      seal: {
        kind: 'sealwright',
        pluginDirectory: '/p',
        command: 'connector',
        sha256: 'ab',
        args: ['/run', '5'],
        options: { health_check_interval: '10m' },
      },
      extraHcl: 'ui = true',
    })
    expect(text).toContain('performance_multiplier = 5')
    expect(text).toContain(
      '  retry_join {\n    leader_api_addr = "https://127.0.0.1:2"\n    leader_ca_cert_file = "/ca"\n  }\n',
    )
    expect(text).toContain('  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = "/cc"\n')
    expect(text).toContain(`plugin_directory = "/p"
plugin "kms" "sealwright" {
  command = "connector"
  sha256sum = "ab"
  args = ["/run", "5"]
}
seal "sealwright" {
  health_check_interval = "10m"
}
ui = true
`)
  })

  it('writes both keys of a static seal that is being rotated', () => {
    const seal = { kind: 'static', keyFile: '/b', keyId: 'k2', previous: { keyFile: '/a', keyId: 'k1' } } as const
    expect(openBaoHcl({ ...plain, seal })).toContain(`seal "static" {
  current_key_id = "k2"
  current_key = "file:///b"
  previous_key_id = "k1"
  previous_key = "file:///a"
}`)
  })

  it('writes the seal that the data leaves beside the new one, disabled', () => {
    const transit = { kind: 'transit', address: 'http://127.0.0.1:1', token: 't', keyName: 'k', caPath: '/ca' } as const
    const seal = { kind: 'sealwright', pluginDirectory: '/p', command: 'c', sha256: 'ab', args: [] } as const
    expect(openBaoHcl({ ...plain, seal, leaving: transit })).toContain(`seal "sealwright" {
}
seal "transit" {
  address = "http://127.0.0.1:1"
  token = "t"
  key_name = "k"
  mount_path = "transit"
  tls_ca_cert = "/ca"
  disabled = "true"
}
`)
    expect(openBaoHcl({ ...plain, leaving: seal })).toContain('seal "sealwright" {\n  disabled = "true"\n}\n')
    const byFile = { kind: 'static', keyFile: '/a', keyId: 'k1' } as const
    expect(openBaoHcl({ ...plain, leaving: byFile })).toContain('  current_key = "file:///a"\n  disabled = "true"\n}')
    expect(openBaoHcl({ ...plain, leaving: undefined })).not.toContain('disabled = ')
  })

  it.each(['a"b', 'a\\b', '${x}', 'a\nb'])('refuses %j, which would need quoting', nodeId => {
    expect(() => openBaoHcl({ ...plain, nodeId })).toThrow(RigError)
  })
})
