import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { OPERATION_IDS, OPERATIONS } from '@sealwright/control-api'
import { openApiDocument } from './document.ts'

interface Described {
  readonly operationId: string
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> }
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}
const document = openApiDocument() as {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>
}
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
)

describe('the OpenAPI document', () => {
  it('is in the repository as it is generated now, for people and for the agent', () => {
    const { status, stderr } = spawnSync(process.execPath, [join(__dirname, 'main.ts'), '--check'], {
      encoding: 'utf8',
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })

  it('describes each operation of the table once', () => {
    expect(document.openapi).toBe('3.1.0')
    expect(described.map(({ operationId }) => operationId).sort()).toEqual([...OPERATION_IDS].sort())
    for (const { path, method, operationId } of described) {
      const operation = OPERATIONS[operationId as keyof typeof OPERATIONS]
      expect([method.toUpperCase(), path.replaceAll(/\{(\w+)\}/g, ':$1')]).toEqual([operation.method, operation.path])
    }
  })

  it('has no share in JSON or in a URL: where shares travel, bodies are bytes', () => {
    const withShares = described.filter(({ path }) => /unseal$|rehearse|init/.test(path))
    const bodies = withShares.filter(({ operationId }) => ['enterShare', 'rehearse'].includes(operationId))
    expect(bodies.map(({ requestBody }) => Object.keys(requestBody?.content ?? {}))).toEqual([
      ['application/octet-stream'],
      ['application/octet-stream'],
    ])
    expect(JSON.stringify(withShares)).not.toMatch(/"name":"share/)
  })

  it('gives every refusal a status of its own kind, and no refusal 200', () => {
    for (const { responses } of described) {
      for (const [status, { description }] of Object.entries(responses)) {
        if (/^[A-Z_, ]+$/.test(description)) expect(Number(status)).toBeGreaterThanOrEqual(400)
      }
      expect(Object.keys(responses)).not.toContain('undefined')
    }
  })
})
