import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/**
 * Where that lies which takes long to get and is the same for every clone: `$SEALWRIGHT_CACHE`, else `sealwright` in
 * `$XDG_CACHE_HOME` or `~/.cache`. It can be deleted at any time; the next set-up fills it again.
 */
export function cacheFolder() {
  const { SEALWRIGHT_CACHE: own, XDG_CACHE_HOME: base } = process.env
  if (own !== undefined && own !== '') return own
  // The XDG base directory specification: a relative path is to be ignored.
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'sealwright')
}
