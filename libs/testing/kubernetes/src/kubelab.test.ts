import { runKubelab } from './index.ts'

const environment = { HOME: '/nonexistent' }

describe('runKubelab', () => {
  it('gives the standard input and returns the standard output', async () => {
    const manifest = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } })
    const args = ['label', '--local', '-f', '-', 'a=b', '-o', 'json']
    const printed = (await runKubelab('kubectl', args, { environment, stdin: manifest })).toString()
    expect(JSON.parse(printed)).toMatchObject({ metadata: { name: 'a', labels: { a: 'b' } } })
  })

  it('tells the exit code and what was said when a command fails', async () => {
    await expect(runKubelab('kubectl', ['nonsense'], { environment })).rejects.toMatchObject({
      code: 'RIG_PROCESS_ENDED',
      message: expect.stringMatching(/`kubectl nonsense` ended with 1: error: unknown command "nonsense"/) as string,
    })
  })

  it('ends a command at its limit, and when its caller gives up', async () => {
    const waiting = ['get', 'pods', '--server=https://127.0.0.1:1']
    await expect(runKubelab('kubectl', waiting, { environment, timeoutMs: 1 })).rejects.toMatchObject({
      code: 'RIG_TIMEOUT',
    })
    const signal = AbortSignal.abort()
    await expect(runKubelab('kubectl', waiting, { environment, signal })).rejects.toMatchObject({
      code: 'RIG_CANCELLED',
    })
  })
})
