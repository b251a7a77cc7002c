import { mkdir } from 'node:fs/promises'
import { createSealedNode } from '@sealwright/testing-cluster'
import { freePort } from '@sealwright/testing-rig'
import { OFTEN } from './parallel-node.ts'
import { openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()
const REFUSED = 4

describe('sealctl rotate --break-chain', () => {
  it('is refused while OpenBao has a server whose TPM the keyring does not list: nothing would open that one again', async () => {
    const { node, sealKeyPath } = await openNode(scope, { agent: OFTEN })
    const directory = scope.folder.join('second')
    await mkdir(directory, { mode: 0o700 })
    const ports = { apiPort: await freePort(), clusterPort: await freePort() }
    const config = { agent: OFTEN, openbao: { address: `http://127.0.0.1:${ports.apiPort}` } }
    const second = scope.use(await createSealedNode({ name: 'second', directory, config }))
    // Each node of a new cluster gets the same seal key, and makes a keyring with its own TPM alone.
    expect(await second.bootstrap(sealKeyPath)).toMatchObject({ exitCode: 0 })
    await second.startAgent()
    await second.startOpenBao({ ...ports, retryJoin: [node.openBao().apiAddress], until: 'standby' })

    const { exitCode, stdout } = await node.sealctl('rotate', '--break-chain')
    expect({ exitCode, stdout }).toEqual({ exitCode: REFUSED, stdout: '' })
  })
})
