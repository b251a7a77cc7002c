export { compareBytes, sameBytes } from './compare.ts'
export { joinBytes, lengthPrefixed, uint32 } from './join.ts'
export { hex, textBytes } from './text.ts'
