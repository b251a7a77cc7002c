import { siblingProgram } from './sibling.ts'

describe('a program beside another one', () => {
  it.each([
    ['/opt/agent/main.mjs', '/opt/agent/helper.mjs'],
    ['/src/agent/main.ts', '/src/agent/helper.ts'],
  ])('of %s is %s, started by the same Node', (main, helper) => {
    expect(siblingProgram(main, 'helper')).toEqual({ command: process.execPath, args: ['--disable-sigusr1', helper] })
  })
})
