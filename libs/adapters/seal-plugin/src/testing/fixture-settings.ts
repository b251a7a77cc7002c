/** How a fixture agent behaves. */
export interface FixtureSettings {
  readonly directory: string
  /** 32 bytes. */
  readonly keyHex: string
  readonly decrypt: 'answer' | 'hold' | 'refuse'
  readonly encrypt: 'answer' | 'leak'
}
