import { expectSealWorks } from './node-health.ts'
import { boot, cutPower } from './node-life.ts'
import { openParallelNode } from './parallel-node.ts'
import { controlJson, expectOpenedBy, expectServes, knownStatus } from './parallel-status.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()
const ROTATE = '/v1/sys/rotate/seal-key'

describe('a rotation of the seal key', () => {
  it('is caught up by a seal that was offline during three of them, which then opens alone', async () => {
    const { node, hsm, transit, rootToken } = await openParallelNode(scope)
    await transit.setPresent(false)
    for (const generation of [2, 3, 4]) {
      expect(await controlJson(node, ROTATE, 'POST')).toMatchObject({ generation })
      await expectSealWorks(node, rootToken)
    }
    await cutPower(node)
    await node.tpm.kill()
    await hsm.setPresent(false)
    await transit.setPresent(true)
    await boot(node)
    await expectServes(node)
    await expectOpenedBy(node, 'backup')
    expect((await knownStatus(node)).keyring?.generation).toBe(4)
    await expectSealWorks(node, rootToken)
  })
})
