import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { fromHex } from './hex.ts'

/** The folder `vectors/` at the top of the repository. */
const VECTORS_FOLDER = resolve(import.meta.dirname, '../../../../vectors')

/** How a field is written in JSON: `hex` becomes bytes, `json` is handed over unread; `?` marks a field that may be absent. */
export type FieldKind = 'hex' | 'hex?' | 'hexList' | 'text' | 'text?' | 'number' | 'number?' | 'json' | 'json?'

/** The fields of a vector beside `name` and `source`. */
export type VectorFields = Readonly<Record<string, FieldKind>>

interface FieldValues {
  readonly hex: Uint8Array
  readonly 'hex?': Uint8Array | undefined
  readonly hexList: readonly Uint8Array[]
  readonly text: string
  readonly 'text?': string | undefined
  readonly number: number
  readonly 'number?': number | undefined
  readonly json: unknown
  readonly 'json?': unknown
}

/** One vector, its fields read as {@link VectorFields} says. */
export type Vector<Fields extends VectorFields> = {
  readonly name: string
  /** The document, or the tool and its version, that the expected values come from. */
  readonly source: string
} & { readonly [Field in keyof Fields]: FieldValues[Fields[Field]] }

/** Where a vector file lies: `vectors/<format>/<file>`. */
export interface VectorFile {
  readonly format: string
  readonly file: string
}

/** Every vector file of the repository, sorted. */
export function listVectorFiles(): readonly VectorFile[] {
  return readdirSync(VECTORS_FOLDER, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .flatMap(({ name: format }) =>
      readdirSync(join(VECTORS_FOLDER, format))
        .filter(file => file.endsWith('.json'))
        .map(file => ({ format, file })),
    )
    .sort((a, b) => `${a.format}/${a.file}`.localeCompare(`${b.format}/${b.file}`, 'en'))
}

/**
 * Reads `vectors/<format>/<file>`: a JSON array, each entry with `name`, `source` and exactly the given fields.
 *
 * @throws {Error} naming the file, the vector and the field, if one is missing, unknown or of another kind, or if two
 *   vectors have one name.
 */
export function readVectors<const Fields extends VectorFields>(
  format: string,
  file: string,
  fields: Fields,
): readonly Vector<Fields>[] {
  const vectorFile = { format, file }
  const entries = checkEntries(describeFile(vectorFile), parseFile(vectorFile))
  assertUniqueNames(describeFile(vectorFile), entries)
  return entries.map(({ name, source, rest }) => {
    const where = `${describeFile(vectorFile)}: ${name}`
    const unknown = Object.keys(rest).find(field => !Object.hasOwn(fields, field))
    if (unknown !== undefined) throw new Error(`${where}: unknown field ${unknown}`)
    const values = Object.entries(fields).map(([field, kind]) => [
      field,
      readField(`${where}: ${field}`, kind, rest[field]),
    ])
    return { name, source, ...Object.fromEntries(values) } as Vector<Fields>
  })
}

/** What every vector has, and the rest of its fields as they stand in the file. */
export interface VectorEntry {
  readonly name: string
  readonly source: string
  readonly rest: Readonly<Record<string, unknown>>
}

/**
 * The entries of one file, with only the rules checked that hold for every format.
 *
 * @throws {Error} if the file is neither a list of vectors nor an object of such lists; if a list is empty, or a vector
 *   lacks its `name` or `source`.
 */
export function readVectorEntries(vectorFile: VectorFile): readonly VectorEntry[] {
  const where = describeFile(vectorFile)
  const parsed = parseFile(vectorFile)
  const lists: readonly (readonly [string, unknown])[] =
    typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? Object.entries(parsed).map(([list, entries]) => [`${where}: ${list}`, entries])
      : [[where, parsed]]
  return lists.flatMap(([list, entries]) => checkEntries(list, entries))
}

function describeFile({ format, file }: VectorFile): string {
  return `vectors/${format}/${file}`
}

function parseFile({ format, file }: VectorFile): unknown {
  return JSON.parse(readFileSync(join(VECTORS_FOLDER, format, file), 'utf8'))
}

/** The rules for every list of vectors, on its parsed JSON. */
export function checkEntries(where: string, parsed: unknown): readonly VectorEntry[] {
  if (!Array.isArray(parsed) || parsed.length === 0) throw new Error(`${where}: expected an array of vectors`)
  return parsed.map((entry: unknown, index) => {
    if (typeof entry !== 'object' || entry === null) throw new Error(`${where}: vector ${index} is not an object`)
    const { name, source, ...rest } = entry as Record<string, unknown>
    if (typeof name !== 'string' || name === '') throw new Error(`${where}: vector ${index} has no name`)
    if (typeof source !== 'string' || source === '') throw new Error(`${where}: ${name}: no source`)
    return { name, source, rest }
  })
}

/** Two tests of one name could not be told apart. */
export function assertUniqueNames(where: string, entries: readonly VectorEntry[]): void {
  const seen = new Set<string>()
  for (const { name } of entries) {
    if (seen.has(name)) throw new Error(`${where}: two vectors are named ${name}`)
    seen.add(name)
  }
}

function readField(where: string, kind: FieldKind, value: unknown): unknown {
  switch (kind) {
    case 'hex?':
    case 'text?':
    case 'number?':
    case 'json?':
      return value === undefined ? undefined : readField(where, requiredKind(kind), value)
    case 'hex':
      if (typeof value !== 'string') throw new Error(`${where}: expected hex`)
      return readHex(where, value)
    case 'hexList':
      if (!Array.isArray(value)) throw new Error(`${where}: expected a list of hex`)
      return value.map((item: unknown) => readField(where, 'hex', item))
    case 'text':
      if (typeof value !== 'string') throw new Error(`${where}: expected text`)
      return value
    case 'number':
      if (!Number.isSafeInteger(value)) throw new Error(`${where}: expected a whole number`)
      return value
    case 'json':
      if (value === undefined) throw new Error(`${where}: missing`)
      return value
  }
}

function requiredKind(kind: 'hex?' | 'text?' | 'number?' | 'json?'): FieldKind {
  switch (kind) {
    case 'hex?':
      return 'hex'
    case 'text?':
      return 'text'
    case 'number?':
      return 'number'
    case 'json?':
      return 'json'
  }
}

function readHex(where: string, text: string): Uint8Array {
  try {
    return fromHex(text)
  } catch (cause) {
    throw new Error(`${where}: not hex`, { cause })
  }
}
