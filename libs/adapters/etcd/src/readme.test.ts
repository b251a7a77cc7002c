import { readReadmeExamples } from '@sealwright/testing-checks'
import { openEtcd } from './index.ts'
import { json, rangeOf, startGateway } from './testing/gateway.ts'

async function example(endpoint: string, signal: AbortSignal): Promise<string> {
  // README
  await using etcd = openEtcd({ endpoints: [endpoint] })
  let bytes = 0
  for await (const { entries, revision, total } of etcd.scan(Buffer.from('/registry/secrets/'), { signal })) {
    for (const { value } of entries) bytes += value.byteLength
    if (total > 100_000) return `revision ${revision} has very many Secrets`
  }
  return `${bytes} bytes of Secrets`
  // end
}

describe('the example in the README', () => {
  it('is the code of this test', () => {
    const { shown, own } = readReadmeExamples(import.meta.filename)
    expect(shown).toEqual(own)
  })

  it('works', async () => {
    await using gateway = await startGateway(response => {
      json(response, rangeOf({ '/registry/secrets/a': 'hello' }))
    })
    expect(await example(gateway.endpoint, new AbortController().signal)).toBe('5 bytes of Secrets')
  })
})
