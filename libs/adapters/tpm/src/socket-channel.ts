import { type NetConnectOpts, type Socket, connect } from 'node:net'

import { HEADER_BYTES, responseSizeBytes } from '@sealwright/tpm-wire'

import { type Channel } from './channel.ts'
import { type Deadline } from './deadline.ts'
import { TpmError } from './errors.ts'

type Pending = { readonly resolve: (response: Uint8Array) => void; readonly reject: (error: TpmError) => void }

/**
 * Opens a stream socket that carries bare TPM frames, as swtpm serves them.
 *
 * @throws {@link TpmError} `TPM_UNREACHABLE`, `TPM_TIMEOUT`, `TPM_CANCELLED`.
 */
export async function openSocketChannel(to: NetConnectOpts, address: string, deadline: Deadline): Promise<Channel> {
  const socket = await connectSocket(to, address, deadline)
  let received = Buffer.alloc(0)
  let pending: Pending | undefined
  let usable = true

  function fail(error: TpmError): void {
    usable = false
    socket.destroy()
    pending?.reject(error)
    pending = undefined
  }

  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk])
    try {
      const frame = completeFrame(received)
      if (frame === undefined) return
      if (pending === undefined) throw new TpmError('TPM_PROTOCOL', `${address} speaks without being asked`)
      received = Buffer.alloc(0)
      pending.resolve(frame)
      pending = undefined
    } catch (cause) {
      fail(new TpmError('TPM_PROTOCOL', `what answers at ${address} does not speak like a TPM`, { cause }))
    }
  })
  socket.on('error', cause => {
    fail(new TpmError('TPM_GONE', `the connection to the TPM at ${address} broke`, { cause }))
  })
  socket.on('close', () => {
    fail(new TpmError('TPM_GONE', `the TPM at ${address} closed the connection before it had answered`))
  })

  return {
    async transceive(command, doing, commandDeadline) {
      commandDeadline.assertNotOver(doing)
      if (!usable) throw new TpmError('TPM_GONE', `the connection to the TPM at ${address} is closed`)
      const onAbort = () => {
        fail(commandDeadline.error(doing))
      }
      commandDeadline.signal.addEventListener('abort', onAbort, { once: true })
      try {
        return await new Promise<Uint8Array>((resolve, reject) => {
          pending = { resolve, reject }
          socket.write(command)
        })
      } finally {
        commandDeadline.signal.removeEventListener('abort', onAbort)
      }
    },
    isUsable: () => usable,
    async close() {
      usable = false
      if (socket.closed) return
      await new Promise<void>(resolve => {
        socket.once('close', () => {
          resolve()
        })
        socket.destroy()
      })
    },
  }
}

/** One whole response, or `undefined` while bytes are missing. @throws if it is too long or followed by more. */
function completeFrame(received: Buffer): Uint8Array | undefined {
  if (received.byteLength < HEADER_BYTES) return undefined
  const sizeBytes = responseSizeBytes(received)
  if (received.byteLength < sizeBytes) return undefined
  if (received.byteLength > sizeBytes) throw new TpmError('TPM_PROTOCOL', 'bytes after the end of the response')
  return new Uint8Array(received)
}

function connectSocket(to: NetConnectOpts, address: string, deadline: Deadline): Promise<Socket> {
  const doing = `connecting to the TPM at ${address}`
  deadline.assertNotOver(doing)
  return new Promise((resolve, reject) => {
    const socket = connect(to)
    const onConnect = () => {
      forget()
      resolve(socket)
    }
    const onError = (cause: Error) => {
      forget()
      const message = `no TPM answers at ${address}: check that it runs and that we may use it`
      reject(new TpmError('TPM_UNREACHABLE', message, { cause }))
    }
    const onAbort = () => {
      forget()
      socket.destroy()
      reject(deadline.error(doing))
    }
    const forget = () => {
      socket.removeListener('connect', onConnect).removeListener('error', onError)
      deadline.signal.removeEventListener('abort', onAbort)
    }
    socket.once('connect', onConnect).once('error', onError)
    deadline.signal.addEventListener('abort', onAbort, { once: true })
  })
}
