export { controlClient, type ControlClient, type ControlClientOptions } from './client.ts'
export { type AgentRefusal, ControlClientError, type ControlClientErrorCode } from './errors.ts'
