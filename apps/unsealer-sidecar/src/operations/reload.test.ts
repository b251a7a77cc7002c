import { writeFile } from 'node:fs/promises'
import { type NodeConfig } from '@sealwright/node-config'
import { loadNodeConfig } from '@sealwright/program'
import { temporaryFolder, type TemporaryFolder } from '@sealwright/testing-rig'
import { type LocalSeals, localSeals } from '../local-seals.ts'
import { configReload } from './reload.ts'

const programs = { pkcs11Program: { command: '/nonexistent', args: [] } } as const
const request = { tend: true, caller: { processId: undefined, userId: undefined } }

let folder: TemporaryFolder
let path: string
let seals: LocalSeals
/** What the agent was told to do, and what it logged, in the order of it. */
let events: string[]

const fileWith = (...names: readonly string[]): string =>
  JSON.stringify({ seals: names.map((name, index) => ({ name, type: 'tpm', priority: index + 1 })) })

function reloadOf(loadConfig: () => Promise<NodeConfig>) {
  const note = (event: string) => () => void events.push(event)
  const log = (_fields: unknown, text?: string) => void events.push(text ?? String(_fields))
  return configReload({
    ...{ loadConfig, seals, startAfresh: note('afresh'), tryAgain: note('try'), tend: note('tend') },
    log: { info: log, error: log },
  })
}

beforeEach(async () => {
  folder = await temporaryFolder()
  path = folder.join('node.yaml')
  events = []
  await writeFile(path, fileWith('a', 'b'), { mode: 0o600 })
  seals = localSeals(await loadNodeConfig(path), programs)
})

afterEach(async () => {
  await seals[Symbol.asyncDispose]()
  await folder.remove()
})

describe('reading the configuration anew', () => {
  it('takes its seals over, names what has changed, and has seals tried again and tended', async () => {
    const reload = reloadOf(() => loadNodeConfig(path))
    const file = JSON.parse(fileWith('a', 'c')) as { readonly seals: readonly object[] }
    const more = [
      { name: 'people', type: 'shamir', priority: 9 },
      { name: 'off', type: 'tpm', priority: 8, disabled: true },
    ]
    await writeFile(path, JSON.stringify({ seals: [...file.seals, ...more] }))
    expect(await reload(request)).toEqual({
      ...{ added: ['c', 'people', 'off'], changed: [], removed: ['b'] },
      enabled: ['a', 'c', 'people'],
    })
    expect(events).toEqual(['afresh', 'configuration read again', 'try', 'tend', 'seals are tried again'])
  })

  it('leaves new seals to whoever is about to initialise one', async () => {
    await reloadOf(() => loadNodeConfig(path))({ ...request, tend: false })
    expect(events).toEqual(['afresh', 'configuration read again', 'try', 'seals are tried again'])
  })

  it.each<[string, string, () => Promise<void>]>([
    ['no YAML', 'CONFIG_SYNTAX', () => writeFile(path, '{')],
    ['an unknown field', 'CONFIG_INVALID', () => writeFile(path, '{"seals":[],"x":1}')],
    ['no file', 'CONFIG_UNREADABLE', () => folder.remove()],
  ])('goes on with the seals from before where there is %s, and says so with %s', async (_what, code, spoil) => {
    const before = seals.all()
    await spoil()
    await expect(reloadOf(() => loadNodeConfig(path))(request)).rejects.toMatchObject({ code })
    expect(seals.all()).toEqual(before)
    expect(events).toContain('configuration not read: going on with the one before')
    // An operator has come, whatever they wrote: a PIN file may be mended.
    expect(events.slice(2)).toEqual(['try', 'tend', 'seals are tried again'])
  })

  it('happens one after another, also after one that failed', async () => {
    const files = [fileWith('a', 'one'), '{', fileWith('a', 'two')]
    const reload = reloadOf(async () => {
      const [file = ''] = files.splice(0, 1)
      events.push('reads')
      await new Promise(setImmediate)
      await writeFile(path, file)
      return await loadNodeConfig(path)
    })
    const ended = await Promise.allSettled([reload(request), reload(request), reload(request)])
    expect(ended).toMatchObject([
      { status: 'fulfilled', value: { added: ['one'], removed: ['b'] } },
      { status: 'rejected', reason: { code: 'CONFIG_SYNTAX' } },
      { status: 'fulfilled', value: { added: ['two'], removed: ['one'] } },
    ])
    const one = (how: string) => ['afresh', 'reads', how, 'try', 'tend', 'seals are tried again']
    const [read, refused] = ['configuration read again', 'configuration not read: going on with the one before']
    expect(events).toEqual([...one(read), ...one(refused), ...one(read)])
  })
})
