import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(__dirname, '../../..')

/** Lints `source` as if it stood in the repository at `path`, and returns the names of the rules it breaks. */
function brokenRules(path: string, source: string): string[] {
  const eslint = spawnSync(
    join(root, 'node_modules/.bin/eslint'),
    [
      '--config',
      join(__dirname, 'untyped-lint.eslint.config.mjs'),
      '--format=json',
      '--stdin',
      '--stdin-filename',
      path,
    ],
    { cwd: root, input: source, encoding: 'utf8', env: { ...process.env, NX_DAEMON: 'false' } },
  )
  const [result] = JSON.parse(eslint.stdout) as { messages: { ruleId: string | null; message: string }[] }[]
  return (result?.messages ?? []).map(({ ruleId, message }) => ruleId ?? message)
}

describe('the boundaries between layers', () => {
  it.each([
    ['core imports an adapter', 'libs/core/envelope/src/x.ts', '@sealwright/tpm', '@nx/enforce-module-boundaries'],
    [
      'an adapter imports another',
      'libs/adapters/tpm/src/x.ts',
      '@sealwright/openbao',
      '@nx/enforce-module-boundaries',
    ],
    [
      'a program imports test rigs',
      'apps/sealctl/src/x.ts',
      '@sealwright/testing-rig',
      '@nx/enforce-module-boundaries',
    ],
    ['core reads files', 'libs/core/envelope/src/x.ts', 'node:fs', 'no-restricted-imports'],
    ['core opens sockets', 'libs/core/keyring/src/x.ts', 'node:net', 'no-restricted-imports'],
  ])('are broken when %s', (_what, path, imported, rule) => {
    expect(brokenRules(path, `import * as x from '${imported}'\nexport const y = x\n`)).toContain(rule)
  })

  it.each([
    ['an adapter imports core', 'libs/adapters/tpm/src/x.ts', '@sealwright/tpm-wire'],
    ['a program imports an adapter', 'apps/sealctl/src/x.ts', '@sealwright/openbao'],
    ['core uses node:crypto', 'libs/core/envelope/src/x.ts', 'node:crypto'],
  ])('are kept when %s', (_what, path, imported) => {
    expect(brokenRules(path, `import * as x from '${imported}'\nexport const y = x\n`)).toEqual([])
  })

  it('let no library read the environment', () => {
    expect(brokenRules('libs/adapters/tpm/src/x.ts', 'export const x = process.env.HOME\n')).toContain(
      'no-restricted-properties',
    )
  })
})
