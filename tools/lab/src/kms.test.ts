import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { repositoryRoot, SEARCH_PATH, waitUntil } from '@sealwright/testing-rig'
import { type KmsFigures } from './kms/story.ts'
import { figuresOf, folderOf, processesIn, startLab } from './testing/lab-run.ts'

/** Runs the commands that the lab prints for people, as if they were pasted into a shell; all that they print. */
async function paste(output: string): Promise<string> {
  const printed = output.split('Ctrl-C ends everything.\n')[1] ?? ''
  const commands = printed.split('\n').filter(line => line.startsWith('  '))
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', `${commands.join('\n')}\ntrue`], {
    cwd: repositoryRoot(),
    env: { PATH: SEARCH_PATH, HOME: folderOf(output) },
  })
  return stdout + stderr
}

describe('the story of the KMS plugin', () => {
  it('holds on real parts, stays up for people, and tells its figures as JSON on the last line', async () => {
    const { child, output, ended } = startLab('lab', 'kms', '--stay', '--json')
    const stays = waitUntil(() => output().includes('cp-b-api ('), { what: 'the proof', timeoutMs: 180_000 })
    const endedEarly = ended.then(code => {
      throw new Error(`the lab ended with ${String(code)}: ${output()}`)
    })
    await Promise.race([stays, endedEarly])
    endedEarly.catch(() => undefined)
    // The beginning of what etcd holds, as `hexdump -C` shows it.
    expect(output()).toContain('|k8s:enc:kms:v2:s|')
    const pasted = await paste(output())
    for (const words of [
      'secret/mine created',
      'k8s:enc:kms:v2:s',
      'kind: Secret',
      'ok',
      'verdict: ',
      'latest_version',
    ]) {
      expect(pasted).toContain(words)
    }

    const [, pid] = /cp-a-kms \((\d+)\): ok/.exec(output()) ?? []
    process.kill(Number(pid), 'SIGKILL')
    await waitUntil(() => /cp-a-kms ended; it is started again(.|\n)*cp-a-kms \(\d+\): ok/.test(output()), {
      what: 'the killed plugin to be back',
      timeoutMs: 30_000,
    })

    child.kill('SIGINT')
    expect(await ended).toBe(0)
    const figures = figuresOf(output()) as KmsFigures
    expect(figures).toMatchObject({
      apiServers: 2,
      inClearWithoutPlugin: true,
      inClearWithPlugin: false,
      sameKeyIdOnAllNodes: true,
      secretsRewritten: 14,
      secretsLeftBehind: 0,
      secretsReadAfterRetirement: 14,
      secretIntact: true,
    })
    // Below the second in which it would have asked OpenBao in vain, and a version is never active before its time.
    expect(figures.tamperedDecryptRefusedMicroseconds).toBeLessThan(100_000)
    expect(figures.newVersionActiveAfterMs).toBeGreaterThan(figures.activationDelayMs - 1_000)
    for (const name of [
      'coldStartMs',
      'readWithoutOpenBaoMs',
      'healedByItselfMs',
      'apiServersFollowedAfterMs',
    ] as const) {
      expect(figures[name]).toBeGreaterThan(0)
    }
    const folder = folderOf(output())
    expect([existsSync(folder), processesIn(folder)]).toEqual([false, []])
  })

  it('ends all that it started when it is interrupted in the middle', async () => {
    const { child, output, ended } = startLab('lab', 'kms')
    await waitUntil(() => output().includes('✓ etcd, and two nodes'), { what: 'the first steps', timeoutMs: 120_000 })
    const folder = folderOf(output())
    expect(processesIn(folder).length).toBeGreaterThan(5)
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect([existsSync(folder), processesIn(folder)]).toEqual([false, []])
  })
})
