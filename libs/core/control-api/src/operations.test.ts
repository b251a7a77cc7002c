import { statusOfCode } from './index.ts'
import { methodsOf, OPERATION_IDS, OPERATIONS, pathOf } from './operations.ts'
import { type Operation } from './operation.ts'

const operations: readonly Operation[] = OPERATION_IDS.map(id => OPERATIONS[id])

describe('the table of operations', () => {
  it('has each method of each path once', () => {
    const keys = operations.map(({ method, path }) => `${method} ${path}`)
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys).toHaveLength(25)
  })

  it('gives every refusal that it names a status', () => {
    for (const { path, refusals } of operations) {
      for (const code of refusals) expect([path, code, statusOfCode(code)]).toEqual([path, code, expect.any(Number)])
    }
  })

  it('takes secrets as bytes alone, and never in a query', () => {
    const secret = operations.filter(({ body }) => body?.kind === 'secret' || body?.kind === 'secrets')
    expect(secret.map(({ path }) => path)).toEqual(['/v1/sys/unseal', '/v1/sys/rehearse'])
  })

  it('knows the methods of a path', () => {
    expect(methodsOf('/v1/sys/seals/tpm')).toEqual(['GET', 'DELETE'])
    expect(methodsOf('/v1/sys/keyring')).toEqual(['GET', 'PUT'])
    for (const path of ['', '/', '/v1/sys/seals/', '/v1/sys/seals/tpm/x', '/V1/sys/seals']) {
      expect(methodsOf(path)).toEqual([])
    }
  })

  it('writes paths with what was filled in escaped', () => {
    expect(pathOf(OPERATIONS.deleteSeal, { name: 'a/b?c' }, { confirm: 'ä &' })).toBe(
      '/v1/sys/seals/a%2Fb%3Fc?confirm=%C3%A4+%26',
    )
    expect(pathOf(OPERATIONS.retire, {}, { lostNode: ['a', 'b'] })).toBe('/v1/sys/rotate/retire?lostNode=a&lostNode=b')
    expect(pathOf(OPERATIONS.enterShare, {}, { seal: undefined, nonce: undefined })).toBe('/v1/sys/unseal')
  })
})
