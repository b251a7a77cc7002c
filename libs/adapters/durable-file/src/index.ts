export { type NewFile, openNewFile } from './new-file.ts'
export { NotFlushedError, replaceFile, type ReplaceFileOptions, syncFolder } from './replace-file.ts'
