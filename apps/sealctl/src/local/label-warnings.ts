import { howToRelabel, labelIgnored } from '@sealwright/node-seals'

/**
 * Says of a TPM that was taken in whether rotations will know which server it is in: they look for a TPM that is called as raft calls the
 * server.
 *
 * @param labels - what the TPMs of this node are called, by the names of their seals.
 * @param wanted - as it was asked for, if it was.
 * @param servers - those of the snapshot; `undefined` if there was none.
 */
export function labelWarnings(
  labels: ReadonlyMap<string, string>,
  wanted: string | undefined,
  servers: readonly string[] | undefined,
): readonly string[] {
  return [...labels].flatMap(([sealName, label]) => {
    if (wanted !== undefined && label !== wanted) return [labelIgnored({ sealName, wanted, called: label })]
    if (servers === undefined || servers.includes(label)) return []
    return [
      `the TPM of this node is called ${label} in the seal ${sealName}, and no server of the snapshot is (${servers.join(', ')}). If OpenBao's ` +
        `node_id here is another one, call it so, or no rotation can be finished: ${howToRelabel(sealName, 'NODE_ID')}`,
    ]
  })
}
