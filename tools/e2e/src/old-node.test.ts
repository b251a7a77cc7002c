import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const OLD_VERSION = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.19.0'})"

describe('a program on a Node that is too old', () => {
  it.each(['bootstrap-init', 'unsealer-sidecar', 'sealctl'])('%s says which one it needs', app => {
    const bundle = fileURLToPath(new URL(`../../../apps/${app}/dist/main.mjs`, import.meta.url))
    const { status, stderr } = spawnSync(process.execPath, ['--import', OLD_VERSION, bundle, '--help'], {
      encoding: 'utf8',
    })
    expect(stderr).toMatch(/^This program needs Node 24 or newer; this is v[\d.]+\.\n$/)
    expect(status).toBe(1)
  })
})
