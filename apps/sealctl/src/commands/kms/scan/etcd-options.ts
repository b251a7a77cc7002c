import { type EtcdOptions } from '@sealwright/etcd'
import { readSecretFile } from '@sealwright/program'
import { usageError } from '../../../errors.ts'
import { readTextFile } from '../read-text-file.ts'

/** How a command is told where etcd is, and how to get in. */
export interface EtcdCommandOptions {
  readonly etcd?: readonly string[]
  readonly cacert?: string
  readonly cert?: string
  readonly key?: string
}

/** Where kubeadm has them, on a control-plane node. */
const KUBEADM_ETCD = 'https://127.0.0.1:2379'
const KUBEADM_CA = '/etc/kubernetes/pki/etcd/ca.crt'
const KUBEADM_CERT = '/etc/kubernetes/pki/apiserver-etcd-client.crt'
const KUBEADM_KEY = '/etc/kubernetes/pki/apiserver-etcd-client.key'

/** @throws {@link SealctlError} `SEALCTL_USAGE`, `SEALCTL_INPUT_UNREADABLE`; {ProgramError} for the private key. */
export async function etcdOptions({
  etcd: endpoints = [KUBEADM_ETCD],
  cacert,
  cert,
  key,
}: EtcdCommandOptions): Promise<EtcdOptions> {
  if ((cert === undefined) !== (key === undefined)) throw usageError('--cert and --key belong together')
  const isHttps = endpoints.some(endpoint => endpoint.startsWith('https:'))
  if (!isHttps) {
    if (cacert !== undefined || cert !== undefined) throw usageError('certificates are for https addresses only')
    return { endpoints }
  }
  const [certFile, keyFile] = cert === undefined && cacert === undefined ? [KUBEADM_CERT, KUBEADM_KEY] : [cert, key]
  const caPem = await readTextFile(cacert ?? KUBEADM_CA, ETCD_FILES)
  if (certFile === undefined || keyFile === undefined) return { endpoints, caPem }
  const clientCertificate = {
    certificatePem: await readTextFile(certFile, ETCD_FILES),
    privateKeyPem: await readSecretFile(keyFile),
  }
  return { endpoints, caPem, clientCertificate }
}

const ETCD_FILES = "name etcd's files with --cacert, --cert and --key"
