import { writeFile } from 'node:fs/promises'
import { runProgramToEnd } from '@sealwright/testing-cluster'
import { createSoftHsm } from '@sealwright/testing-rig'
import { killAgent } from './node-life.ts'
import { expectOpenedBy } from './parallel-status.ts'
import { openNode } from './served-node.ts'
import { testScope } from './test-scope.ts'

const scope = testScope()

describe('sealctl pkcs11', () => {
  it('leads from a blank token to a seal that opens the node alone', async () => {
    const { node, config } = await openNode(scope)
    const { folder } = scope
    const { modulePath, environment } = await createSoftHsm({ directory: folder.join('hsm') })
    const [soPinFile, pinFile] = [folder.join('so.pin'), folder.join('user.pin')]
    await writeFile(soPinFile, 'officer-1', { mode: 0o600 })
    await writeFile(pinFile, 'user-1', { mode: 0o600 })
    const source = ['--module', modulePath, '--module-env', `SOFTHSM2_CONF=${environment.SOFTHSM2_CONF}`]

    const pins = ['--so-pin-file', soPinFile, '--pin-file', pinFile]
    const set = await runProgramToEnd('sealctl', ['pkcs11', 'init-token', ...source, '--label', 'node-a', ...pins])
    expect(set).toMatchObject({
      exitCode: 0,
      stderr: '',
    })
    const onToken = ['--token-label', 'node-a', '--pin-file', pinFile, '--label', 'sealwright', '--json']
    const made = await runProgramToEnd('sealctl', ['pkcs11', 'generate-key', ...source, ...onToken])
    expect(made).toMatchObject({ exitCode: 0, stderr: '' })
    const { token, key, mechanism } = JSON.parse(made.stdout) as {
      token: object
      key: { id: string }
      mechanism: string
    }

    const hsm = {
      ...{ name: 'hsm', type: 'pkcs11', priority: 2, module: modulePath, environment, token, mechanism, pinFile },
      key: { id: key.id },
    }
    await node.writeConfig({ ...config, moreSeals: [hsm] })
    expect(await node.sealctl('seals', 'add', 'hsm')).toMatchObject({ exitCode: 0, stderr: '' })
    await killAgent(node)
    await node.writeConfig({ ...config, seal: { disabled: true }, moreSeals: [hsm] })
    await node.startAgent()
    await expectOpenedBy(node, 'hsm')
  })
})
