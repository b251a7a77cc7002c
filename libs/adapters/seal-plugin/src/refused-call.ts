import { SealServiceRefusal } from './seal-service.ts'

/** Codes that stand in the texts we answer with, beside those of the service. */
export type AnswerCode =
  | 'SEAL_PLUGIN_SERVICE_FAILED' // the service broke; our events say how
  | 'SEAL_PLUGIN_NO_INSTANCE' // the host names an instance we do not have
  | 'SEAL_PLUGIN_TOO_MANY_INSTANCES' // the host makes instances without end
  | 'SEAL_PLUGIN_REQUEST_INCOMPLETE' // a request without a field it cannot do without

/** How a refused call is answered. The host turns `notFound` into "instance lost". */
export type RefusalStatus = 'unknown' | 'notFound' | 'resourceExhausted' | 'invalidArgument'

/** Who will read a refusal: the server log only, or anybody who can reach OpenBao. */
export type Audience = 'serverLog' | 'anybody'

/** Longest text we answer with, in UTF-16 units: it travels as a header. */
const MAX_TEXT_LENGTH = 512

/** A call that is answered with an error. `message` is what the host gets; `cause` stays here. */
export class RefusedCall extends Error {
  override readonly name = 'RefusedCall'
  readonly status: RefusalStatus
  readonly code: string

  constructor(status: RefusalStatus, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.code = code
  }
}

/** Chooses the words that may leave for an error of the service. */
export function refusedCallFor(error: unknown, audience: Audience): RefusedCall {
  if (error instanceof RefusedCall) return error
  if (!(error instanceof SealServiceRefusal)) {
    return new RefusedCall('unknown', 'SEAL_PLUGIN_SERVICE_FAILED', fixedText('SEAL_PLUGIN_SERVICE_FAILED'), {
      cause: error,
    })
  }
  const text = audience === 'serverLog' ? error.message : error.publicMessage
  const message = text === undefined ? fixedText('SEAL_PLUGIN_SERVICE_FAILED') : `${error.code}: ${oneLine(text)}`
  return new RefusedCall('unknown', error.code, message, { cause: error })
}

function fixedText(code: AnswerCode): string {
  return `${code}: the seal agent could not answer, its own log says why`
}

function oneLine(text: string): string {
  return text.replace(/[^\P{C}]+/gu, ' ').slice(0, MAX_TEXT_LENGTH)
}
