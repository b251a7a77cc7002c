import { resolve } from 'node:path'
import { DEFAULT_CONFIG } from '../kms-command.ts'

/** What a printed command needs to find a configuration, by its whole path: whoever runs it may stand elsewhere. Empty for the default one. */
export function namedConfig(path: string): string {
  return path === DEFAULT_CONFIG ? '' : ` --config ${shellWord(resolve(path))}`
}

/** A path as a shell takes it. */
function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
