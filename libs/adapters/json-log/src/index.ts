export { failureOf, programLog } from './log.ts'
export { createRepeatLimit, type RepeatLimit } from './repeat-limit.ts'
