import { programCommand, type ProgramResult, type SealedNode } from '@sealwright/testing-cluster'
import { startProcess, type StartedProcess } from '@sealwright/testing-rig'
import { type NewNode } from './served-node.ts'

/** What a run of `bootstrap-init --json` says. */
export interface BootstrapAnswer {
  readonly result: string
  readonly proven: boolean
  readonly keyId: string
  readonly seals: readonly {
    readonly name: string
    readonly state: string
    readonly code?: string
    readonly storageKeyNames: readonly string[]
  }[]
  readonly connector?: {
    readonly outcome: string
    readonly path: string
    readonly sha256: string
    readonly carriedSha256?: string
  }
  readonly warnings: readonly string[]
}

/** Exit codes, as the README of bootstrap-init promises them. */
export const BOOTSTRAP_EXIT = { sealKey: 3, otherKey: 4, seal: 5, store: 6, notProven: 7 } as const

/** Where there is no seal key, as on every node once it was destroyed. */
export const NO_SEAL_KEY = '/nonexistent/bootstrap'

/** Asserts that a run went well and proved every seal, and reads what it said. */
export function answerOf(result: ProgramResult): BootstrapAnswer {
  return readAnswer(result, 0, true)
}

/** Asserts that a run went well and did not prove every seal, and reads what it said. */
export function unprovenAnswerOf(result: ProgramResult): BootstrapAnswer {
  return readAnswer(result, BOOTSTRAP_EXIT.notProven, false)
}

function readAnswer(
  { exitCode, stdout, stderr }: ProgramResult,
  wantedExitCode: number,
  proven: boolean,
): BootstrapAnswer {
  expect({ exitCode, stderr }).toEqual({ exitCode: wantedExitCode, stderr: '' })
  const answer = JSON.parse(stdout) as BootstrapAnswer
  expect(answer).toMatchObject({ proven, warnings: [] })
  return answer
}

/** Runs bootstrap-init, and asserts what it did to the store and that the TPM opens what is stored now. */
export async function expectBootstraps(
  node: SealedNode,
  sealKeyPath: string,
  result: 'created' | 'unchanged' | 'extended' | 'renewed',
  extraArgs?: readonly string[],
): Promise<BootstrapAnswer> {
  const answer = answerOf(await node.bootstrap(sealKeyPath, extraArgs))
  expect(answer).toMatchObject({ result, seals: [{ name: 'tpm', state: 'opens' }] })
  return answer
}

/** Asserts, through the TPM, that the stored keyring opens and that this run changed nothing. */
export async function expectStoreOpens(node: SealedNode): Promise<void> {
  await expectBootstraps(node, NO_SEAL_KEY, 'unchanged')
}

/** Asserts that a run changes nothing and says that the TPM does not open what is stored. */
export async function expectSealClosed(node: SealedNode, code: string, sealKeyPath = NO_SEAL_KEY): Promise<void> {
  expect(unprovenAnswerOf(await node.bootstrap(sealKeyPath))).toMatchObject({
    result: 'unchanged',
    seals: [{ name: 'tpm', state: 'fails', code }],
  })
}

/** Asserts that a run failed in one line that an operator understands, with its code and exit code. */
export function expectRefusal({ exitCode, stdout, stderr }: ProgramResult, code: string, wantedExitCode: number): void {
  expect(stderr).toMatch(new RegExp(`^bootstrap-init: ${code}: .{20,}\\n$`))
  expect({ exitCode, stdout }).toEqual({ exitCode: wantedExitCode, stdout: '' })
}

/** Starts a run that is to be ended early. */
export async function startBootstrap(
  { node, sealKeyPath }: NewNode,
  extraArgs: readonly string[] = [],
): Promise<StartedProcess> {
  const { command, args } = programCommand('bootstrap-init')
  return await startProcess({
    name: 'bootstrap',
    command,
    args: [
      ...args,
      '--config',
      node.configPath,
      '--seal-key',
      sealKeyPath,
      '--connector',
      node.pluginDirectory,
      '--label',
      node.name,
      ...extraArgs,
    ],
    logDirectory: node.directory,
  })
}
