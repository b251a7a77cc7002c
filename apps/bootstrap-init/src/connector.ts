import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { placeFile, type PlaceOutcome } from '@sealwright/seal-store'

/** The connector's file name, in the bundle's folder and in OpenBao's plugin folder. */
const CONNECTOR_NAME = 'sealwright-connector'
const CONNECTOR_MODE = 0o555
/** Only a file that begins like this is ever replaced. */
const OWNER_LINE = '# Sealwright connector'

/** What is in OpenBao's plugin folder now. */
export interface PlacedConnector {
  /** `kept`: a connector of another version is there, and stays. */
  readonly outcome: PlaceOutcome['kind']
  readonly path: string
  /** Of what is there, in hex: for the plugin stanza of OpenBao's configuration. */
  readonly sha256: string
  /** Of the one that came with this program, where another one was kept. */
  readonly carriedSha256?: string
}

/**
 * Puts the connector that came with this program into OpenBao's plugin folder.
 *
 * @param options.replace - also over one of another version: OpenBao starts none whose hash is not in its configuration.
 */
export async function placeConnector(
  pluginDirectory: string,
  { programDirectory, replace }: { readonly programDirectory: string; readonly replace: boolean },
): Promise<PlacedConnector> {
  const bytes = await readFile(join(programDirectory, CONNECTOR_NAME))
  const path = join(pluginDirectory, CONNECTOR_NAME)
  const placed = await placeFile({ path, bytes, mode: CONNECTOR_MODE, ownerLine: OWNER_LINE, replace })
  const { kind: outcome } = placed
  const carriedSha256 = sha256Of(bytes)
  return placed.kind === 'kept'
    ? { outcome, path, sha256: sha256Of(placed.found), carriedSha256 }
    : { outcome, path, sha256: carriedSha256 }
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
