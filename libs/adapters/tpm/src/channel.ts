import { type Deadline } from './deadline.ts'
import { openDeviceChannel } from './device-channel.ts'
import { openSocketChannel } from './socket-channel.ts'

/**
 * Where a TPM is.
 *
 * `device` wants the kernel's resource manager, `/dev/tpmrm0`: it frees what we hold when we close it. Behind `unix`, `tcp` (swtpm) and
 * `/dev/tpm0` nobody manages slots: we take such a TPM to be ours, and flush what an interrupted run of ours has left in it.
 */
export type TpmTransport =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'device'; readonly path: string }

/** A connection that carries one command at a time. */
export type Channel = {
  /** Sends one command and returns its whole response. After any error the channel is closed and of no more use. */
  transceive(command: Uint8Array, doing: string, deadline: Deadline): Promise<Uint8Array>
  /** Whether another command can be sent: false after an error, since an answer may be under way. */
  isUsable(): boolean
  /** Ends it. Resolves when the operating system has let go of it, which a device does only after its last answer. */
  close(): Promise<void>
}

/**
 * Opens a connection for one operation.
 *
 * @throws TpmError `TPM_UNREACHABLE`, `TPM_TIMEOUT`, `TPM_CANCELLED`.
 */
export function openChannel(transport: TpmTransport, deadline: Deadline): Promise<Channel> {
  switch (transport.kind) {
    case 'unix':
      return openSocketChannel({ path: transport.path }, describeTransport(transport), deadline)
    case 'tcp':
      return openSocketChannel({ host: transport.host, port: transport.port }, describeTransport(transport), deadline)
    case 'device':
      return openDeviceChannel(transport.path, deadline)
  }
}

/** Whether somebody frees what we leave behind: the kernel's resource manager does, the bare device does not. */
export function isManaged(transport: TpmTransport): boolean {
  return transport.kind === 'device' && !/^\/dev\/tpm\d+$/.test(transport.path)
}

/** The address for people and for telling transports apart. */
export function describeTransport(transport: TpmTransport): string {
  return transport.kind === 'tcp' ? `tcp:${transport.host}:${transport.port}` : `${transport.kind}:${transport.path}`
}
