import { type ProgramResult, type SealedNode } from '@sealwright/testing-cluster'

const ERROR = 1
const ASKED_FOR = /^sealctl: SEALCTL_NO_TERMINAL: .*--members ([0-9a-f]{32})$/m

/**
 * Breaks the chain of a node as a script does: nobody can be asked, so the members are shown with their fingerprint and nothing is done. Once
 * somebody has looked at them, it is given.
 *
 * @param args - of `sealctl`, without `--members`.
 */
export async function confirmedBreak(node: SealedNode, ...args: readonly string[]): Promise<ProgramResult> {
  return await node.sealctl(...args, '--members', await shownFingerprint(node, ...args))
}

/** The fingerprint of the members that such a break would leave. */
export async function shownFingerprint(node: SealedNode, ...args: readonly string[]): Promise<string> {
  const shown = await node.sealctl(...args)
  expect(shown).toMatchObject({ exitCode: ERROR, stdout: '' })
  expect(shown.stderr).toMatch(ASKED_FOR)
  return ASKED_FOR.exec(shown.stderr)?.[1] ?? ''
}
