export { controlClient, type ControlClient, type ControlClientOptions } from './client.ts'
export { ControlClientError, type ControlClientErrorCode } from './errors.ts'
