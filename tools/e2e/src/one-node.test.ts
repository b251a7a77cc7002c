import { statusOf } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

describe('one node', () => {
  it('initialises OpenBao and opens it again after everything was killed', async () => {
    const { node } = await openNode(scope)

    await Promise.all([cutPower(node), node.tpm.kill()])
    await node.tpm.start()
    await boot(node)
    await node.openBao().waitFor('active')

    expect(await statusOf(node)).toMatchObject({
      exitCode: 0,
      verdict: { kind: 'ready' },
      state: 'open',
      sessions: 1,
    })
  })
})
