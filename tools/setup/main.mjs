// Makes a fresh clone ready: `node tools/setup/main.mjs [--for start|test]`.
// Plain Node without dependencies, since it runs before anything is installed. Silent and instant when all is there.
import { checkHost } from './host.mjs'
import { aptPackagesFor, installAptPackages } from './apt.mjs'
import { installNodeModules } from './node-modules.mjs'
import { installOpenBao } from './openbao.mjs'
import { buildPkcs11Addon } from './pkcs11.mjs'
import { SetupError, say } from './say.mjs'

const purposes = ['start', 'test']

/** @param {string[]} argv */
function parsePurpose(argv) {
  if (argv.length === 0) return 'test'
  const [flag, purpose, ...rest] = argv
  if (flag !== '--for' || purpose === undefined || !purposes.includes(purpose) || rest.length > 0) {
    throw new SetupError('usage: node tools/setup/main.mjs [--for start|test]')
  }
  return purpose
}

try {
  const purpose = parsePurpose(process.argv.slice(2))
  const startedAtMs = Date.now()
  checkHost()
  const installed = [
    await installAptPackages(aptPackagesFor(purpose)),
    await installOpenBao(),
    await installNodeModules(),
    await buildPkcs11Addon(),
  ].some(Boolean)
  if (installed)
    say(`ready after ${((Date.now() - startedAtMs) / 1000).toFixed(0)} s; the next time this step is instant`)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`setup: ${error.message}\n`)
  process.exitCode = 1
}
