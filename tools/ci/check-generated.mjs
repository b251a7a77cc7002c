// Generates the message codecs of proto/ again, into a temporary folder, and compares.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repositoryRoot } from '../setup/paths.mjs'

const output = mkdtempSync(join(tmpdir(), 'generated-'))
try {
  execFileSync('buf', ['generate', 'proto', '--template', 'proto/buf.gen.yaml', '--output', output], {
    cwd: repositoryRoot,
    stdio: 'inherit',
  })
  const generatedFolders = readdirSync(output, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  if (generatedFolders.length === 0) throw new Error('nothing was generated')
  for (const entry of generatedFolders) {
    const fresh = join(entry.parentPath, entry.name)
    const kept = join(repositoryRoot, fresh.slice(output.length))
    if (readFileSync(fresh, 'utf8') !== readFileSync(kept, 'utf8'))
      throw new Error(`${fresh.slice(output.length + 1)} differs: run \`npm run generate\``)
  }
} finally {
  rmSync(output, { recursive: true })
}
