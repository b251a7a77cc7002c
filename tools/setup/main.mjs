// Makes a fresh clone ready: `node tools/setup/main.mjs [--for start|kubernetes|test]`.
// Plain Node without dependencies, since it runs before anything is installed. Silent and instant when all is there.
import { checkHost } from './host.mjs'
import { aptPackagesFor, installAptPackages } from './apt.mjs'
import { buildKmsConformance, buildKubernetes } from './kubernetes.mjs'
import { installNodeModules } from './node-modules.mjs'
import { installOpenBao } from './openbao.mjs'
import { buildPkcs11Addon } from './pkcs11.mjs'
import { SetupError, say } from './say.mjs'

/** `kubernetes` is `start` and a Kubernetes control plane: for the story of the KMS plugin alone, as it has to be compiled. */
const purposes = ['start', 'kubernetes', 'test']

/** @param {string[]} argv */
function parsePurpose(argv) {
  if (argv.length === 0) return 'test'
  const [flag, purpose, ...rest] = argv
  if (flag !== '--for' || purpose === undefined || !purposes.includes(purpose) || rest.length > 0) {
    throw new SetupError(`usage: node tools/setup/main.mjs [--for ${purposes.join('|')}]`)
  }
  return purpose
}

try {
  const purpose = parsePurpose(process.argv.slice(2))
  const startedAtMs = Date.now()
  checkHost()
  const installed = [
    await installAptPackages(aptPackagesFor(purpose === 'test' ? 'test' : 'start')),
    await installOpenBao(),
    await installNodeModules(),
    await buildPkcs11Addon(),
    purpose !== 'start' && (await buildKubernetes()),
    purpose === 'test' && (await buildKmsConformance()),
  ].some(Boolean)
  if (installed)
    say(`ready after ${((Date.now() - startedAtMs) / 1000).toFixed(0)} s; the next time this step is instant`)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`setup: ${error.message}\n`)
  process.exitCode = 1
}
