import { once } from 'node:events'
import { lstatSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openControlSocket } from './control-socket.ts'
import { ask } from '../testing/ask.ts'

let folder: string
let path: string
let failures: unknown[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'control-'))
  path = join(folder, 'control.sock')
  failures = []
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

async function open(loadApi: () => Promise<RequestListener>) {
  return await openControlSocket({ path, loadApi, onFailure: error => failures.push(error) })
}

async function bodyOf(): Promise<string> {
  return (await ask(path)).body
}

describe('the control socket', () => {
  it('loads what answers once, with the first request, and is for our own user alone', async () => {
    let loads = 0
    await using socket = await open(() => {
      loads += 1
      return Promise.resolve((_request, response) => response.end('hello'))
    })
    expect(socket).toBeDefined()
    expect(loads).toBe(0)
    expect(await Promise.all([bodyOf(), bodyOf()])).toEqual(['hello', 'hello'])
    expect(await bodyOf()).toBe('hello')
    expect(loads).toBe(1)
    expect(lstatSync(path).mode & 0o777).toBe(0o600)
  })

  it('says when that cannot be loaded, and lets the caller go', async () => {
    await using socket = await open(() => Promise.reject(new Error('broken')))
    expect(socket).toBeDefined()
    await expect(bodyOf()).rejects.toThrow()
    expect(failures).toMatchObject([{ message: 'broken' }])
  })

  it('is gone at once when it is closed, whoever is still connected', async () => {
    const socket = await open(() => Promise.reject(new Error('not asked')))
    const idle = connect(path)
    await once(idle, 'connect')
    const closed = once(idle, 'close')
    await socket[Symbol.asyncDispose]()
    await closed
    expect(readdirSync(folder)).toEqual([])
  })
})
