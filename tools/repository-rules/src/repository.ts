import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(__dirname, '../../..')

/** Every file of the repository: committed, or new and not ignored. */
export function repositoryFiles(): readonly string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: root,
    encoding: 'utf8',
  })
  return [...new Set(listed.split('\0'))].filter(path => path !== '')
}

export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}
