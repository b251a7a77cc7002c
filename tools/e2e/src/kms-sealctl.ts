import { type ProgramResult, runProgramToEnd } from '@sealwright/testing-cluster'
import { type PluginNode } from '@sealwright/testing-kms'

/** `sealctl kms` with the configuration of this plugin. */
export async function kmsSealctl(
  { configPath }: PluginNode,
  command: string,
  ...args: readonly string[]
): Promise<ProgramResult> {
  return await runProgramToEnd('sealctl', ['kms', command, '--config', configPath, ...args])
}
