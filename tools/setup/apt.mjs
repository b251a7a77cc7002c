import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, succeeds } from './run.mjs'
import { SetupError, say } from './say.mjs'

/** What each Debian package is for, and the program that shows it is there. */
const packages = [
  { name: 'swtpm', program: 'swtpm', why: 'the TPM 2.0 of each lab node, in software', purposes: ['start', 'test'] },
  { name: 'util-linux', program: 'flock', why: 'locks the seal store', purposes: ['start', 'test'] },
  {
    name: 'coreutils',
    program: 'mkfifo',
    why: 'makes the pipes between OpenBao and the agent',
    purposes: ['start', 'test'],
  },
  {
    name: 'python3-venv',
    probe: () => succeeds('python3', ['-c', 'import venv, ensurepip']),
    why: 'unpacks OpenBao',
    purposes: ['start', 'test'],
  },
  {
    name: 'g++',
    program: 'g++',
    why: 'compiles the native part of pkcs11js, and in tests a PKCS#11 module that hangs and crashes',
    purposes: ['start', 'test'],
  },
  { name: 'softhsm2', program: 'softhsm2-util', why: 'an HSM in software', purposes: ['start', 'test'] },
  {
    name: 'libtpm2-pkcs11-1',
    probe: () => succeeds('sh', ['-c', 'ls /usr/lib/*/libtpm2_pkcs11.so.1']),
    why: 'a TPM as a PKCS#11 token',
    purposes: ['test'],
  },
  { name: 'libtpm2-pkcs11-tools', program: 'tpm2_ptool', why: 'sets such a token up', purposes: ['test'] },
  { name: 'tpm2-tools', program: 'tpm2_unseal', why: 'another TPM client, to be compared with', purposes: ['test'] },
  { name: 'busybox-static', program: 'busybox', why: 'the shell of the stock OpenBao image', purposes: ['test'] },
  { name: 'systemd', program: 'systemd-analyze', why: 'checks the unit files', purposes: ['test'] },
  { name: 'shellcheck', program: 'shellcheck', why: 'checks the connector script', purposes: ['test'] },
]

/** The Debian packages that `npm start` or `npm test` needs. */
export function aptPackagesFor(purpose) {
  return packages.filter(entry => entry.purposes.includes(purpose))
}

/**
 * Installs the packages that are missing, as root or by sudo without a password; else prints the line to run.
 *
 * @returns whether anything was installed.
 */
export async function installAptPackages(wanted) {
  const missing = wanted.filter(entry => !(entry.probe?.() ?? isOnPath(entry.program)))
  if (missing.length === 0) return false
  const names = missing.map(entry => entry.name)
  for (const { name, why } of missing) say(`needs the Debian package ${name}: ${why}`)
  const prefix = rootPrefix()
  if (prefix === undefined || !isOnPath('apt-get')) {
    throw new SetupError(
      `cannot install packages here. Run this, then try again:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names.join(' ')}`,
    )
  }
  const apt = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-o', 'Dpkg::Use-Pty=0']
  await run(apt[0], [...apt.slice(1), 'update'])
  await run(apt[0], [...apt.slice(1), 'install', '-y', '--no-install-recommends', ...names])
  const still = missing.filter(entry => !(entry.probe?.() ?? isOnPath(entry.program)))
  if (still.length > 0)
    throw new SetupError(`apt-get succeeded, yet ${still.map(entry => entry.name).join(', ')} cannot be found`)
  return true
}

function rootPrefix() {
  if (process.getuid?.() === 0) return []
  return succeeds('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined
}

function isOnPath(program) {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return [...folders, '/usr/sbin', '/sbin'].some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false // not in this folder: look in the next
    }
  })
}
