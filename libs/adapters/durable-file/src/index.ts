export { type NewFile, openNewFile } from './new-file.ts'
export { replaceFile, type ReplaceFileOptions, syncFolder } from './replace-file.ts'
