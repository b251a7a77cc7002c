import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { digestOf, isStamped, repositoryRoot, stamp } from './paths.mjs'
import { run } from './run.mjs'
import { SetupError, say } from './say.mjs'

const packageFolder = join(repositoryRoot, 'node_modules/pkcs11js')
/** Where the package looks for it. */
const addon = join(packageFolder, 'build/Release/pkcs11.node')

/** The header files of Node-API: an npm package, or what came with the Node that runs this. */
const headerFolders = [
  join(repositoryRoot, 'node_modules/node-api-headers/include'),
  join(dirname(process.execPath), '../include/node'),
]

/**
 * Compiles the native part of pkcs11js. Its own install script would fetch the headers of one Node version; these here are
 * the ones of Node-API, which does not change between versions, so that nothing is fetched and the result fits every Node.
 *
 * @returns whether anything was built.
 */
export async function buildPkcs11Addon() {
  const sources = ['dl.cpp', 'common.cpp', 'main.cpp'].map(name => join(packageFolder, 'src', name))
  const digest = digestOf(
    fileURLToPath(import.meta.url),
    join(packageFolder, 'package.json'),
    ...readdirSync(join(packageFolder, 'src'))
      .sort()
      .map(name => join(packageFolder, 'src', name)),
  )
  if (isStamped('pkcs11', digest) && existsSync(addon)) return false
  say('builds the native part of pkcs11js (a few seconds)')
  const headers = headerFolders.find(folder => existsSync(join(folder, 'node_api.h')))
  if (headers === undefined) {
    throw new SetupError(`no node_api.h in ${headerFolders.join(' or ')}: run npm ci --ignore-scripts`)
  }
  mkdirSync(dirname(addon), { recursive: true })
  const unproven = `${addon.slice(0, -'.node'.length)}-new.node`
  rmSync(unproven, { force: true })
  await run('g++', [
    '-shared',
    '-fPIC',
    '-O2',
    '-std=c++17',
    '-DNAPI_DISABLE_CPP_EXCEPTIONS',
    '-DNODE_GYP_MODULE_NAME=pkcs11',
    `-I${headers}`,
    `-I${join(packageFolder, 'includes')}`,
    '-o',
    unproven,
    ...sources,
    '-ldl',
  ])
  await run(join(repositoryRoot, 'node_modules/.bin/node'), ['-e', 'require(process.argv[1])', unproven])
  renameSync(unproven, addon)
  stamp('pkcs11', digest)
  return true
}
