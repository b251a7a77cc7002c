import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { placeFile, type PlaceOutcome } from '@sealwright/seal-store'

/** The connector's file name, in the bundle's folder and in OpenBao's plugin folder. */
const CONNECTOR_NAME = 'sealwright-connector'
const CONNECTOR_MODE = 0o555
/** Only a file that begins like this is ever replaced. */
const OWNER_LINE = '# Sealwright connector'

export interface PlacedConnector {
  readonly outcome: PlaceOutcome
  readonly path: string
  /** Hex, for the plugin stanza of OpenBao's configuration. */
  readonly sha256: string
}

/** Puts the connector that came with this program into OpenBao's plugin folder. */
export async function placeConnector(pluginDirectory: string, programDirectory: string): Promise<PlacedConnector> {
  const bytes = await readFile(join(programDirectory, CONNECTOR_NAME))
  const path = join(pluginDirectory, CONNECTOR_NAME)
  const outcome = await placeFile({ path, bytes, mode: CONNECTOR_MODE, ownerLine: OWNER_LINE })
  return { outcome, path, sha256: createHash('sha256').update(bytes).digest('hex') }
}
