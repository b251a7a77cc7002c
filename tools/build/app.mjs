// Bundles one app into a single file: `node tools/build/app.mjs apps/<name>` writes apps/<name>/dist/main.mjs.
// One file, because a checksum or an image layer over it then says everything about the code that runs.
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** CommonJS packages inside an ES module bundle still expect these three. */
const banner = [
  "import { createRequire as sealwrightCreateRequire } from 'node:module'",
  'const require = sealwrightCreateRequire(import.meta.url)',
  'const __filename = import.meta.filename, __dirname = import.meta.dirname',
].join('\n')

export async function buildApp(appFolder) {
  const { sealwright } = JSON.parse(readFileSync(join(root, appFolder, 'package.json'), 'utf8'))
  const outfile = join(root, appFolder, 'dist/main.mjs')
  await build({
    entryPoints: [join(root, appFolder, 'src/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    legalComments: 'none',
    banner: { js: banner },
    logLevel: 'warning',
  })
  for (const asset of sealwright?.assets ?? []) {
    mkdirSync(join(root, appFolder, 'dist'), { recursive: true })
    copyFileSync(join(root, asset), join(root, appFolder, 'dist', asset.slice(asset.lastIndexOf('/') + 1)))
  }
  return outfile
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const appFolder of process.argv.slice(2)) await buildApp(appFolder)
}
