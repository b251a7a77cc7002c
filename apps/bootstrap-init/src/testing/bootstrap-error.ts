/** What a matcher of Jest compares a thrown error with. */
export function bootstrapError(code: string, message = /./): unknown {
  return expect.objectContaining({
    name: 'BootstrapError',
    code,
    message: expect.stringMatching(message) as unknown,
  })
}
