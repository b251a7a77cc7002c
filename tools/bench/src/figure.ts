/** One measured figure, always beside what it is measured against in the same run. */
export interface Figure {
  readonly value: number
  readonly unit: Unit
  /** What `value` is compared with, in the same unit: the named peer's figure, or a limit. */
  readonly reference: number
  /** How many times better or worse; what it means stands in {@link FigureReport.meaning}. */
  readonly ratio: number
}

export type Unit = 'ms' | 'µs' | 'MiB' | 'bytes' | 'calls/s'

/** A figure with the words for the table. */
export interface FigureReport {
  readonly name: string
  readonly figure: Figure
  readonly meaning: string
  /** Whether the ratio keeps what was aimed at. */
  readonly target: string
  readonly met: boolean
}

/** What a figure is called, and what was measured. */
export interface Measurement {
  readonly name: string
  readonly value: number
  readonly unit: Unit
  readonly meaning: string
}

/** Judges a figure that must not be greater than its reference. */
export function atMost(measurement: Measurement, reference: number): FigureReport {
  return judged(measurement, reference, { target: '≤ 1', isMet: ratio => ratio <= 1 })
}

/** Judges a figure that must be as great as its reference, or greater. */
export function atLeast(measurement: Measurement, reference: number): FigureReport {
  return judged(measurement, reference, { target: '≥ 1', isMet: ratio => ratio >= 1 })
}

function judged(
  { name, value, unit, meaning }: Measurement,
  reference: number,
  { target, isMet }: { readonly target: string; readonly isMet: (ratio: number) => boolean },
): FigureReport {
  const ratio = rounded(value / reference)
  return {
    name,
    figure: { value: rounded(value), unit, reference: rounded(reference), ratio },
    meaning,
    target,
    met: isMet(ratio),
  }
}

/** All figures by name, as `--json` prints them, and then whatever else was measured. */
export function toJson(reports: readonly FigureReport[], others: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ ...Object.fromEntries(reports.map(({ name, figure }) => [name, figure])), ...others })
}

/** A Markdown table, as it stands in docs/benchmarks.md. */
export function toTable(reports: readonly FigureReport[]): string {
  const rows = reports.map(
    ({ name, figure, meaning, target, met }) =>
      `| \`${name}\` | ${figure.value} ${figure.unit} | ${figure.reference} ${figure.unit} | ${figure.ratio} | ${target} | ${met ? 'met' : '**missed**'} | ${meaning} |`,
  )
  return [
    '| figure | value | reference | ratio | target | | value against reference |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

/** The middle value; of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (upper === undefined || lower === undefined) throw new RangeError('the median of nothing')
  return (lower + upper) / 2
}

/** To three significant digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
