import { Server, ServerCredentials } from '@grpc/grpc-js'
import { type DescMessage, type DescMethodUnary, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf'
import { type Duplex } from 'node:stream'
import { type SealPluginEvent, type WrapperMethod } from './events.ts'
import { GRPCBroker } from './generated/plugin/broker_pb.ts'
import { GRPCController } from './generated/plugin/controller_pb.ts'
import { GRPCStdio } from './generated/plugin/stdio_pb.ts'
import { Wrapper } from './generated/pb/wrapper_pb.ts'
import { bindIgnoredStream, bindSilentStream, bindUnary } from './grpc-binding.ts'
import { type SealPluginLimits } from './limits.ts'
import { type Audience, refusedCallFor } from './refused-call.ts'
import { type WrapperCalls } from './wrapper-calls.ts'

/** The gRPC side of one session. It is given connections that have proven themselves already. */
export interface SessionServer {
  /** Takes over a connection after its TLS handshake. */
  accept(connection: Duplex): void
  /** Cuts every connection. */
  close(): void
}

/** What a session wants to know of its gRPC side. */
export interface SessionServerHooks {
  onHostStream(): () => void
  onShutdown(): void
  onEvent(event: SealPluginEvent): void
}

/** Binds the services a host uses: Wrapper, GRPCController, GRPCStdio and GRPCBroker. Any other method is UNIMPLEMENTED. */
export function createSessionServer(parameters: {
  readonly sessionId: string
  readonly calls: WrapperCalls
  readonly limits: SealPluginLimits
  readonly now: () => number
  readonly hooks: SessionServerHooks
}): SessionServer {
  const { sessionId, calls, limits, now, hooks } = parameters
  const server = new Server({
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_send_message_length': limits.maxMessageBytes,
    'grpc.max_concurrent_streams': limits.maxConcurrentCalls,
    'grpc.enable_channelz': 0,
  })

  /** Binds one Wrapper method: reports the call, and lets only words for `audience` leave. */
  function bind<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    name: WrapperMethod,
    audience: Audience,
    handle: (request: MessageShape<I>, signal: AbortSignal) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
  ): void {
    bindUnary(server, method, async (request, signal) => {
      const startedAtMs = now()
      try {
        const response = await handle(request, signal)
        hooks.onEvent({ kind: 'called', sessionId, method: name, tookMs: now() - startedAtMs })
        return response
      } catch (cause) {
        const refused = refusedCallFor(cause, audience)
        const failure = { code: refused.code, cause }
        hooks.onEvent({ kind: 'called', sessionId, method: name, tookMs: now() - startedAtMs, failure })
        throw refused
      }
    })
  }

  bind(Wrapper.method.setConfig, 'SetConfig', 'serverLog', request => calls.setConfig(request))
  bind(Wrapper.method.type, 'Type', 'serverLog', request => calls.type(request))
  bind(Wrapper.method.keyId, 'KeyId', 'anybody', request => calls.keyId(request))
  bind(Wrapper.method.encrypt, 'Encrypt', 'anybody', request => calls.encrypt(request))
  bind(Wrapper.method.decrypt, 'Decrypt', 'serverLog', (request, signal) => calls.decrypt(request, signal))
  bind(Wrapper.method.init, 'Init', 'anybody', request => calls.init(request))
  bind(Wrapper.method.finalize, 'Finalize', 'serverLog', request => calls.finalize(request))
  bindUnary(server, GRPCController.method.shutdown, () => {
    hooks.onShutdown()
    return Promise.resolve({})
  })
  bindSilentStream(server, GRPCStdio.method.streamStdio, () => hooks.onHostStream())
  bindIgnoredStream(server, GRPCBroker.method.startStream)

  // Not in the clear: whoever injects a connection has finished mutual TLS on it before.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return {
    accept(connection) {
      injector.injectConnection(connection)
    },
    close() {
      injector.destroy()
      server.forceShutdown()
    },
  }
}
