import { type Deadline } from './deadline.ts'

/**
 * The queue of one TPM within this process: one operation at a time, since swtpm serves one client and slots are few.
 * It also remembers that an interrupted operation may have left something in the TPM.
 */
export type Lane = { readonly mayHoldLeftovers: boolean; release(state: { readonly mayHoldLeftovers: boolean }): void }

type LaneState = { tail: Promise<void>; mayHoldLeftovers: boolean }

/** One entry per TPM address ever used: a handful. It must be shared, since two members may name the same TPM. */
const lanes = new Map<string, LaneState>()

/**
 * Waits for our turn.
 *
 * @param address - two transports with the same text are one TPM.
 * @throws TpmError `TPM_TIMEOUT`, `TPM_CANCELLED`; our place in the queue is then given up.
 */
export async function enterLane(address: string, deadline: Deadline): Promise<Lane> {
  const doing = `waiting for another operation on the TPM at ${address}`
  deadline.assertNotOver(doing)
  const state = lanes.get(address) ?? { tail: Promise.resolve(), mayHoldLeftovers: false }
  lanes.set(address, state)
  const before = state.tail
  let free: () => void = () => undefined
  state.tail = new Promise<void>(resolve => {
    free = resolve
  })
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => {
      // Whoever waits behind us must still wait for those before us.
      void before.then(free)
      reject(deadline.error(doing))
    }
    deadline.signal.addEventListener('abort', onAbort, { once: true })
    void before.then(() => {
      deadline.signal.removeEventListener('abort', onAbort)
      resolve()
    })
  })
  return {
    mayHoldLeftovers: state.mayHoldLeftovers,
    release: ({ mayHoldLeftovers }) => {
      state.mayHoldLeftovers = mayHoldLeftovers
      free()
    },
  }
}
