import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildGoPrograms } from './go-programs.mjs'
import { repositoryRoot } from './paths.mjs'
import { SetupError } from './say.mjs'

const folder = 'tools/kubernetes'
const conformanceFolder = 'tools/kms-conformance'

/**
 * Puts a real Kubernetes control plane at `.tools/bin/kubelab`: etcd, the API server and what belongs to it in one program.
 *
 * @returns whether anything was built.
 */
export async function buildKubernetes() {
  const version = /^\s*k8s\.io\/kubernetes (v\d+\.\d+\.\d+)$/m.exec(
    readFileSync(join(repositoryRoot, folder, 'go.mod'), 'utf8'),
  )?.[1]
  if (version === undefined) throw new SetupError(`${folder}/go.mod names no version of k8s.io/kubernetes`)
  const [major, minor] = version.slice(1).split('.')
  return await buildGoPrograms({
    folder,
    programs: { kubelab: 'cmd/kubelab' },
    why: `compiles Kubernetes ${version}, once for all clones: 5 to 16 minutes on two cores, 4 GB of disk at first`,
    // The module alone does not tell the server which version it is, and clients ask for it.
    variables: {
      'k8s.io/component-base/version.gitVersion': version,
      'k8s.io/component-base/version.gitMajor': major,
      'k8s.io/component-base/version.gitMinor': minor,
      'k8s.io/component-base/version.gitTreeState': 'clean',
    },
  })
}

/**
 * Puts at `.tools/bin/kms-conformance` what calls a KMS plugin as the API server does, with the API server's own client.
 *
 * @returns whether anything was built.
 */
export async function buildKmsConformance() {
  return await buildGoPrograms({
    folder: conformanceFolder,
    programs: { 'kms-conformance': '.' },
    why: 'compiles the conformance suite for KMS plugins, once for all clones: a minute where Kubernetes is compiled already',
  })
}
