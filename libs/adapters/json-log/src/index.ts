export { failureOf, programLog } from './log.ts'
export { runLogged } from './run-logged.ts'
export { createRepeatLimit, type RepeatLimit } from './repeat-limit.ts'
