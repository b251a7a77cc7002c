/** Says that a TPM keeps the label that it has in a seal, and how it gets another one. */
export function labelIgnored({
  sealName,
  wanted,
  called,
}: {
  readonly sealName: string
  readonly wanted: string
  readonly called: string
}): string {
  return (
    `--label ${wanted} was ignored: the TPM of this node is a member of the seal ${sealName} already, and is called ${called}. To call it ` +
    `${wanted}, ${howToRelabel(sealName, wanted)}`
  )
}

/** The command that gives the TPM of a node another label. */
export function howToRelabel(sealName: string, label: string): string {
  return `with the agent running: sealctl init --seal ${sealName} --label ${label}`
}
