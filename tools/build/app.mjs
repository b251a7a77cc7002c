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

/**
 * An `import` of a built-in module reads all of its exports, and some of those of node:http load a whole HTTP client (5 MiB).
 * A `require` loads nothing before it is used.
 */
const builtinsByRequire = {
  name: 'builtins-by-require',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /^node:/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }))
  },
}

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
    // White space is a quarter of what the engine would have to read at each start. Names stay, for stack traces.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    plugins: [builtinsByRequire],
    external: sealwright?.neverLoaded ?? [],
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
