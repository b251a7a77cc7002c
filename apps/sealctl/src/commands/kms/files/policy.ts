import { type KmsConfig, type TransitBackendConfig } from '@sealwright/kms-config'
import { namedConfig } from './named-config.ts'

/** A rule of a policy: a path, and the one thing that may be done there. */
interface Rule {
  readonly path: string
  readonly capability: 'update' | 'read'
}

/** What the KMS plugin needs in its OpenBao, and no more. */
export function rulesOf({ mountPath, keyName }: Pick<TransitBackendConfig, 'mountPath' | 'keyName'>): readonly Rule[] {
  const mount = withoutSlashes(mountPath)
  return [
    // Never `create`: it would make a new key under a mistyped name, instead of an error.
    { path: `${mount}/encrypt/${keyName}`, capability: 'update' },
    { path: `${mount}/decrypt/${keyName}`, capability: 'update' },
    { path: `${mount}/keys/${keyName}`, capability: 'read' },
    // In place of the policy `default`, which a token for this needs to be without.
    { path: 'auth/token/renew-self', capability: 'update' },
    { path: 'auth/token/revoke-self', capability: 'update' },
  ]
}

/** How the policy and the role are called. */
function policyNameOf({ clusterId }: Pick<KmsConfig, 'clusterId'>): string {
  return `sealwright-kms-${clusterId}`
}

/**
 * The policy as OpenBao takes it, with the commands that belong to it as remarks: key, policy, role.
 *
 * @param backend - of `config`.
 * @param configPath - where `config` is, as a shell on the same machine finds it.
 */
export function renderPolicy(config: KmsConfig, backend: TransitBackendConfig, configPath: string): string {
  const rules = rulesOf(backend)
  const width = Math.max(...rules.map(({ path }) => path.length))
  const lines = [
    `# What the KMS plugin of the Kubernetes cluster ${config.clusterId} may do in OpenBao. Once, as an administrator:`,
    '#',
    ...setUpCommands(config, backend, configPath).map(line => `#   ${line}`),
    '#',
    '# Without the policy "default" a token is checked about twice as fast, and can do nothing else.',
    '',
    ...rules.map(
      ({ path, capability }) =>
        `path ${JSON.stringify(path)}${' '.repeat(width - path.length)} { capabilities = ["${capability}"] }`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

/** From an empty OpenBao to a plugin that can log in. */
function setUpCommands(config: KmsConfig, backend: TransitBackendConfig, configPath: string): readonly string[] {
  const { keyName, namespace } = backend
  const mount = withoutSlashes(backend.mountPath)
  return [
    ...(namespace === undefined ? [] : [`export BAO_NAMESPACE=${namespace}`]),
    `bao secrets enable -path=${mount} transit`,
    `bao write -f ${mount}/keys/${keyName} type=aes256-gcm96`,
    `sealctl kms policy openbao${namedConfig(configPath)} | bao policy write ${policyNameOf(config)} -`,
    ...loginCommands(config, backend),
  ]
}

function loginCommands(config: KmsConfig, { auth }: TransitBackendConfig): readonly string[] {
  const policy = policyNameOf(config)
  const token = `token_policies=${policy} token_no_default_policy=true token_period=24h`
  switch (auth.method) {
    case 'token':
      return [
        `token="$(bao token create -orphan -no-default-policy -policy=${policy} -period=768h -field=token)" && [ -n "$token" ] &&`,
        `  printf %s "$token" | ssh root@NODE 'umask 077; f=${auth.tokenFile}; cat > $f.new && [ -s $f.new ] && mv $f.new $f'      # for each NODE`,
        'unset token',
      ]
    case 'approle': {
      const role = `auth/${withoutSlashes(auth.mountPath)}/role/${policy}`
      return [
        `bao auth enable -path=${withoutSlashes(auth.mountPath)} approle`,
        `bao write ${role} ${token} secret_id_num_uses=0 secret_id_ttl=0`,
        'Then role id and secret id go to each node: docs/runbooks/kms.md, Install.',
      ]
    }
    case 'jwt':
      return [
        `bao auth enable -path=${withoutSlashes(auth.mountPath)} jwt      # then auth/${withoutSlashes(auth.mountPath)}/config: an issuer that is up without this cluster`,
        `bao write auth/${withoutSlashes(auth.mountPath)}/role/${auth.role} role_type=jwt user_claim=sub bound_audiences=AUDIENCE bound_subject=SUBJECT ${token}`,
      ]
    case 'kubernetes':
      return [
        `bao auth enable -path=${withoutSlashes(auth.mountPath)} kubernetes`,
        `bao write auth/${withoutSlashes(auth.mountPath)}/role/${auth.role} bound_service_account_names=NAME bound_service_account_namespaces=NAMESPACE ${token}`,
        'CAUTION: OpenBao asks the API server about such a login. Of the cluster whose API server waits for this plugin, it',
        'gets no answer: after a power cut neither comes up. Use approle, cert, jwt or token for that cluster.',
      ]
    case 'cert':
      return [
        `bao auth enable -path=${withoutSlashes(auth.mountPath)} cert`,
        `bao write auth/${withoutSlashes(auth.mountPath)}/certs/${auth.role ?? policy} certificate=@CA.pem allowed_common_names=NAME ${token}`,
      ]
  }
}

/** Slashes around a mount path do not count. */
export function withoutSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}
