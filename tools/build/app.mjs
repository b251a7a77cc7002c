// Bundles each program of an app into a single file: `node tools/build/app.mjs apps/<name>` writes apps/<name>/dist/main.mjs, and one
// file for each other entry. One file, because a checksum or an image layer over it then says everything about the code that runs; but
// for what `external` names, which has native code.
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))

const NODE_MAJOR_VERSION = 24

/** Says which Node is needed before anything of a newer one is used; then come three names that CommonJS packages expect. */
const banner = [
  `if (parseInt(process.versions.node) < ${NODE_MAJOR_VERSION}) {`,
  `  process.stderr.write('This program needs Node ${NODE_MAJOR_VERSION} or newer; this is ' + process.version + '.\\n')`,
  '  process.exit(1)',
  '}',
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

/** Packages whose index loads much that no program of ours uses. */
const byParts = {
  name: 'by-parts',
  setup({ onResolve }) {
    onResolve({ filter: /^(undici|prom-client)$/ }, ({ path }) => ({
      path: join(root, `tools/build/${path}-parts.mjs`),
    }))
  },
}

export async function buildApp(appFolder) {
  const { sealwright } = JSON.parse(readFileSync(join(root, appFolder, 'package.json'), 'utf8'))
  const { entries = ['src/main.ts'], external = [] } = sealwright ?? {}
  const { outputFiles } = await build({
    write: false,
    entryPoints: entries.map(entry => join(root, appFolder, entry)),
    outdir: join(root, appFolder, 'dist'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // An import of types alone vanishes; else it would load at the start what is imported for real only when it is needed.
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: false } },
    platform: 'node',
    target: `node${NODE_MAJOR_VERSION}`,
    // An older Node must be able to parse the file to be told by it that it is too old.
    supported: { using: false },
    format: 'esm',
    // White space is a quarter of what the engine would have to read at each start. Names stay, for stack traces.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    plugins: [builtinsByRequire, byParts],
    external: [...(sealwright?.neverLoaded ?? []), ...external],
    banner: { js: banner },
    logLevel: 'warning',
  })
  for (const { path, contents } of outputFiles) replaceFile(path, contents, 0o644)
  for (const asset of sealwright?.assets ?? []) {
    const source = join(root, asset)
    replaceFile(join(root, appFolder, 'dist', basename(asset)), readFileSync(source), statSync(source).mode)
  }
}

/** Leaves a file alone that is as it should be, and else replaces it in one step: somebody may be about to run it. */
function replaceFile(path, contents, mode) {
  if (readIfAny(path)?.equals(contents)) return
  mkdirSync(dirname(path), { recursive: true })
  const written = `${path}.${process.pid}.new`
  writeFileSync(written, contents, { mode })
  renameSync(written, path)
}

function readIfAny(path) {
  try {
    return readFileSync(path)
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const appFolder of process.argv.slice(2)) await buildApp(appFolder)
}
