import { type Command, InvalidArgumentError, Option } from 'commander'
import { collect } from '../command.ts'

/** Options of every command that breaks the chain. */
export interface BreakOptions {
  readonly snapshot?: string
  readonly nodes?: readonly string[]
  readonly lost?: readonly string[]
  readonly drop?: readonly string[]
  readonly members?: string
}

export function addBreakOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--snapshot <file>',
        'lists the servers: a raft snapshot of this cluster as it is now; - reads a pipe',
      ).conflicts('nodes'),
    )
    .option('--nodes <names>', 'every server of the cluster instead, as raft knows it, with commas between', splitNames)
    .option(
      '--lost <node>',
      'server that is gone for good, or opens by a shared seal; may be given several times',
      collect,
    )
    .option('--drop <member>', 'id or fingerprint of a member that is removed; may be given several times', collect)
    .option('--members <fingerprint>', 'of the members that stay, instead of being asked about them')
}

/** Whether anything was said that only a break of the chain needs. */
export function isForBreak({ snapshot, nodes, lost, drop, members }: BreakOptions): boolean {
  return [snapshot, nodes, lost, drop, members].some(given => given !== undefined)
}

function splitNames(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(',').map(name => name.trim())
  if (names.includes('')) throw new InvalidArgumentError('A name between the commas is empty.')
  return [...before, ...names]
}
