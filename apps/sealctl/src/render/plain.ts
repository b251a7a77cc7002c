/** Some of the text is OpenBao's or another node's: what a terminal would obey is shown, not sent. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** What these seals do, one or several. */
export function opensIt(seals: readonly string[]): string {
  return seals.length === 1 ? 'opens' : 'open'
}

/** Rows with their columns aligned, two spaces between them. */
export function table(rows: readonly (readonly string[])[]): string {
  const shown = rows.map(row => row.map(plain))
  const widths = shown.reduce<readonly number[]>(
    (before, row) => row.map((cell, column) => Math.max(before[column] ?? 0, cell.length)),
    [],
  )
  return shown
    .map(
      row =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}
