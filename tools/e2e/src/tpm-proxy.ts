import { proxySocket } from '@sealwright/testing-rig'
import { type TestScope } from './test-scope.ts'

/** What becomes of one command on its way to the TPM. */
export type Fate =
  | { readonly kind: 'pass' }
  /** The TPM never sees it, and no answer comes. */
  | { readonly kind: 'swallow' }
  /** The TPM does it, and the connection breaks instead of its answer. */
  | { readonly kind: 'cut' }
  /** The TPM never sees it; the answer is this response code alone, as for every failure. */
  | { readonly kind: 'refuse'; readonly rc: number }
  /** The TPM does it, and its answer is changed. */
  | { readonly kind: 'forge'; readonly forge: (response: Buffer) => Buffer }

/** A proxy between the agent and its TPM: somebody on the bus. */
export interface TpmProxy {
  /** Where the agent finds the "TPM". */
  readonly socketPath: string
  /** Decides the fate of every command from now on, by its command code. */
  setFate(fateOf: (commandCode: number) => Fate): void
  /** One command meets this fate from now on; all others pass. */
  setFateOf(commandCode: number, fate: Fate): void
  /** From now on nobody is on the bus. */
  letPass(): void
  /** How often the agent has sent this command so far. */
  countOf(commandCode: number): number
  /** How many commands the agent has sent so far. */
  countAll(): number
}

/** Command codes (TPM 2.0 Part 2, clause 6.5.2). */
export const TPM_CC_Unseal = 0x15e
export const TPM_CC_Create = 0x153
export const TPM_CC_CreatePrimary = 0x131
const TPM_RC_SUCCESS = 0
/** TPM2_GetRandom of 8 bytes: stands in for a command that the TPM must not see, so that there is an answer to change. */
const HARMLESS_COMMAND = Buffer.from('80010000000c0000017b0008', 'hex')
const COMMAND_CODE_OFFSET = 6
const RESPONSE_CODE_OFFSET = 6

const PASS: Fate = { kind: 'pass' }

/** Puts a proxy before the TPM of the node that the test has or will have. It lets everything pass until told otherwise. */
export async function proxyTpm(scope: TestScope): Promise<TpmProxy> {
  const socketPath = scope.folder.join('bus.sock')
  const commandCodes: number[] = []
  const fateByConnection = new Map<number, Fate>()
  let fateOf: (commandCode: number) => Fate = () => PASS
  const proxy = await proxySocket({
    listenPath: socketPath,
    targetPath: scope.folder.join('tpm', 'tpm.sock'),
    // A command and a response are one write and a few hundred bytes each, so one read brings a whole one.
    onClientData(command, connection) {
      const commandCode = Buffer.from(command).readUInt32BE(COMMAND_CODE_OFFSET)
      commandCodes.push(commandCode)
      const fate = fateOf(commandCode)
      fateByConnection.set(connection, fate)
      if (fate.kind === 'swallow') return null
      return fate.kind === 'refuse' ? HARMLESS_COMMAND : command
    },
    onServerData(response, connection) {
      return answer(Buffer.from(response), fateByConnection.get(connection) ?? PASS)
    },
  })
  scope.use(proxy)
  return {
    socketPath,
    setFate(next) {
      fateOf = next
    },
    setFateOf(commandCode, fate) {
      fateOf = code => (code === commandCode ? fate : PASS)
    },
    letPass() {
      fateOf = () => PASS
    },
    countOf: commandCode => commandCodes.filter(code => code === commandCode).length,
    countAll: () => commandCodes.length,
  }
}

function answer(response: Buffer, fate: Fate): Buffer {
  switch (fate.kind) {
    case 'pass':
    case 'swallow':
      return response
    case 'cut':
      throw new Error('the connection is cut here')
    case 'refuse':
      return bareResponse(fate.rc)
    case 'forge':
      return response.readUInt32BE(RESPONSE_CODE_OFFSET) === TPM_RC_SUCCESS ? fate.forge(response) : response
  }
}

/** TPM_ST_NO_SESSIONS ‖ 10 ‖ response code (Part 1, clause 18.2.4). */
function bareResponse(rc: number): Buffer {
  const frame = Buffer.from('80010000000a00000000', 'hex')
  frame.writeUInt32BE(rc, RESPONSE_CODE_OFFSET)
  return frame
}
