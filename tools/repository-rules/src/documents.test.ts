import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readText, repositoryFiles, root } from './repository.ts'

const files = repositoryFiles().filter(path => existsSync(join(root, path)))
const markdown = files.filter(path => path.endsWith('.md'))
const projects = files
  .filter(path => /^(apps|libs\/\w+|tools)\/[\w-]+\/package\.json$/.test(path))
  .map(path => dirname(path))

describe('the documents', () => {
  it('list every app and library in the README, with its own description', () => {
    const readme = readText('README.md')
    for (const project of projects.filter(path => !path.startsWith('tools/'))) {
      const { description } = JSON.parse(readText(`${project}/package.json`)) as { description: string }
      expect(readme).toContain(`| [\`${project}\`](${project}) | ${description} |`)
    }
  })

  it.each(projects.filter(path => !path.startsWith('tools/')))('have a README for %s', project => {
    expect(existsSync(join(root, project, 'README.md'))).toBe(true)
  })

  it.each(markdown)('%s links only to what exists', path => {
    const links = [...readText(path).matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)].flatMap(
      ([, link]) => link ?? [],
    )
    for (const link of links) expect([link, existsSync(join(root, dirname(path), link))]).toEqual([link, true])
  })

  it('list every decision', () => {
    const index = readText('docs/adr/README.md')
    for (const name of readdirSync(join(root, 'docs/adr')).filter(file => /^\d{4}-/.test(file)))
      expect(index).toContain(`(${name})`)
  })
})

describe('the repository', () => {
  it('names no folder of a machine and no package registry', () => {
    // Written in parts, so that this file does not find itself.
    const forbidden = new RegExp(
      [
        ['/wo', 'rk/'],
        ['/ro', 'ot/'],
        ['registry.np', 'mjs'],
        ['py', 'pi.org'],
        ['deb.de', 'bian.org'],
      ]
        .map(parts => parts.join(''))
        .join('|'),
    )
    const found = files.filter(path => !path.endsWith('.lock') && forbidden.test(readText(path)))
    expect(found).toEqual([])
  })

  it('pins every dependency to one version', () => {
    for (const path of files.filter(file => file.endsWith('package.json'))) {
      const manifest = JSON.parse(readText(path)) as Record<
        'dependencies' | 'devDependencies',
        Record<string, string> | undefined
      >
      for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
        const expected = name.startsWith('@sealwright/') ? /^\*$/ : /^(npm:[\w@/-]+@)?\d+\.\d+\.\d+$/
        expect([path, name, version]).toEqual([path, name, expect.stringMatching(expected)])
      }
    }
  })

  it('compiles with the native compiler, and lints with the library of the older one', () => {
    const versionOf = (name: string) =>
      (JSON.parse(readText(`node_modules/${name}/package.json`)) as { version: string }).version
    expect(versionOf('tsc7')).toMatch(/^7\./)
    expect(versionOf('typescript')).toMatch(/^6\./)
  })
})
