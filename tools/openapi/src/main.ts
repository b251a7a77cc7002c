// Writes the OpenAPI document: `node tools/openapi/src/main.ts`; with `--check` it only says whether the files are as they should be.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { generatedFiles } from './files.ts'

const root = join(import.meta.dirname, '../../..')
const isCheck = process.argv.includes('--check')

for (const { path, text } of await generatedFiles()) {
  const file = join(root, path)
  if (!isCheck) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  } else if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`${path} differs: run \`node tools/openapi/src/main.ts\`\n`)
    process.exitCode = 1
  }
}
