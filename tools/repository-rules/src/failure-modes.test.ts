import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readText, repositoryFiles, root } from './repository.ts'

const document = readText('docs/failure-modes.md')
const files = repositoryFiles().filter(path => existsSync(join(root, path)))
/** Tests, and the vectors that tests read their expected codes from. */
const testSources = new Map(
  files.filter(path => path.endsWith('.test.ts') || path.startsWith('vectors/')).map(path => [path, readText(path)]),
)

/** The members of every closed union of error codes in the sources. */
function errorCodes(): readonly string[] {
  const sources = files.filter(path => /^(apps|libs)\/.*\.ts$/.test(path) && !path.startsWith('libs/testing/'))
  return sources.flatMap(path => {
    const unions = readText(path).matchAll(/^export type \w*ErrorCode =((?:\n {2}\|)? '.*\n(?: {2}\| '.*\n)*)/gm)
    return [...unions].flatMap(([, union = '']) =>
      [...union.matchAll(/^(?: {2}\|)? '(\w+)'/gm)].flatMap(([, code]) => code ?? []),
    )
  })
}

/** `path › name` of every test that the document names. */
function namedTests(): readonly (readonly [string, string])[] {
  return [...document.matchAll(/`([\w./-]+\.test\.ts)` › ([^|<]+?)\s*(?=[|<])/g)].map(([, path = '', name = '']) => [
    path,
    name,
  ])
}

describe('docs/failure-modes.md', () => {
  it('has found the codes and the tests at all', () => {
    expect(errorCodes().length).toBeGreaterThan(80)
    expect(namedTests().length).toBeGreaterThan(30)
  })

  it.each(errorCodes())('has a row for %s', code => {
    expect(document).toContain(`\`${code}\``)
  })

  it.each(errorCodes())('has a test for %s', code => {
    expect([...testSources.values()].some(source => source.includes(code))).toBe(true)
  })

  it.each(namedTests())('names a test that exists: %s › %s', (path, name) => {
    expect(testSources.get(path) ?? `there is no ${path}`).toContain(name)
  })
})
