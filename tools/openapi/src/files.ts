import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { openApiDocument } from './document.ts'

const root = join(import.meta.dirname, '../../..')

const DECLARATION = 'export const OPENAPI_DOCUMENT: Readonly<Record<string, unknown>> & { readonly openapi: string }'

/** A generated file. */
export interface GeneratedFile {
  /** From the top of the repository. */
  readonly path: string
  readonly text: string
}

/** The document for people, and the one that the agent serves: a module, so that it ends up in the agent's bundle. */
export async function generatedFiles(): Promise<readonly GeneratedFile[]> {
  const json = JSON.stringify(openApiDocument())
  const documentPath = 'docs/openapi.json'
  const style = await resolveConfig(join(root, documentPath))
  return [
    { path: documentPath, text: await format(json, { ...style, parser: 'json' }) },
    {
      path: 'apps/unsealer-sidecar/src/generated/openapi.ts',
      text: `// Written by tools/openapi: do not edit.\n${DECLARATION} = ${json}\n`,
    },
  ]
}
