import { rename, writeFile } from 'node:fs/promises'
import { type ExpectedFailure } from './node-health.ts'
import { openProxiedNode, type ProxiedNode } from './served-node.ts'
import { type TestScope } from './test-scope.ts'

export const PIN = 'correct horse'
export const WRONG_PIN = 'battery staple'

/** How many wrong tries swtpm allows (TPM_PT_MAX_AUTH_FAIL); real TPMs have limits of their own. */
export const MAX_AUTH_FAIL = 3

export const PIN_IS_WRONG: ExpectedFailure = {
  code: 'TPM_PIN_WRONG',
  message: 'the TPM refused the PIN, and counted it',
  retrying: false,
}
export const PIN_IS_UNKNOWN: ExpectedFailure = {
  code: 'TPM_PIN_UNKNOWN',
  message: 'the PIN was sent, and it is not known what became of it',
  retrying: false,
}
export const PIN_IS_HELD_BACK: ExpectedFailure = {
  code: 'TPM_PIN_HELD_BACK',
  message: `the PIN was not sent: the TPM counts ${MAX_AUTH_FAIL - 1} failed tries`,
  retrying: true,
}

/** The file that a node reads its PIN from. */
export interface PinFile {
  readonly path: string
  /** In one step: the agent must never read half a PIN, which would be a wrong one. */
  write(pin: string, mode?: number): Promise<void>
}

/** A node whose key opens by a PIN. */
export interface PinNode extends ProxiedNode {
  readonly pinFile: PinFile
}

/** Makes a node with a PIN, and a proxy before its TPM. It was open once, and has no power now. */
export async function openPinNode(scope: TestScope): Promise<PinNode> {
  const pinFile = await createPinFile(scope)
  return { ...(await openProxiedNode(scope, { seal: { pinFile: pinFile.path } })), pinFile }
}

/** Makes the file with the right PIN in it. */
export async function createPinFile({ folder }: TestScope): Promise<PinFile> {
  const path = folder.join('pin')
  const write = async (pin: string, mode = 0o600): Promise<void> => {
    await writeFile(`${path}.new`, `${pin}\n`, { mode })
    await rename(`${path}.new`, path)
  }
  await write(PIN)
  return { path, write }
}
