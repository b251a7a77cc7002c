import { readFileSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import { errorCodeOf, hasErrorCode } from './error-code.ts'

const withCode = (code: unknown): Error => Object.assign(new Error('made by the test'), { code })

function thrownBy(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}

const missingFile = thrownBy(() => readFileSync('/nothing/here'))

describe('errorCodeOf', () => {
  it('reads the code of an error of the system and of an error of ours', () => {
    expect(errorCodeOf(missingFile)).toBe('ENOENT')
    expect(errorCodeOf(withCode('TPM_GONE'))).toBe('TPM_GONE')
  })

  it('reads it whatever realm the error comes from', () => {
    const foreign: unknown = runInNewContext(`Object.assign(new Error('elsewhere'), { code: 'EIO' })`)
    expect(foreign).not.toBeInstanceOf(Error)
    expect(errorCodeOf(foreign)).toBe('EIO')
  })

  it.each([[new Error('no code')], [withCode(5)], [withCode(undefined)], [{}], ['ENOENT'], [404], [null], [undefined]])(
    'finds none in %p',
    value => {
      expect(errorCodeOf(value)).toBeUndefined()
    },
  )
})

describe('hasErrorCode', () => {
  it('is true for one of the codes, and for no other', () => {
    expect(hasErrorCode(missingFile, 'EACCES', 'ENOENT')).toBe(true)
    expect(hasErrorCode(missingFile, 'EACCES', 'EPERM')).toBe(false)
    expect(hasErrorCode(missingFile)).toBe(false)
  })

  it('is false for what has no code', () => {
    expect(hasErrorCode(new Error('no code'), 'undefined')).toBe(false)
    expect(hasErrorCode(withCode(5), '5')).toBe(false)
    expect(hasErrorCode(undefined, 'ENOENT')).toBe(false)
  })
})
