export { fromHex, toHex } from './hex.ts'
export {
  type FieldKind,
  listVectorFiles,
  readVectorEntries,
  readVectors,
  type Vector,
  type VectorEntry,
  type VectorFields,
  type VectorFile,
} from './vector-file.ts'
