import { type Figure, rounded, type Unit } from './figure.ts'

/** One thing that was measured for several sizes of a cluster. */
export interface Growth {
  readonly name: string
  readonly unit: Unit
  /** In ascending order of nodes; the first is what the others are compared with. */
  readonly points: readonly GrowthPoint[]
}

export interface GrowthPoint {
  readonly nodes: number
  readonly value: number
}

/** A figure for a number of nodes. Its reference is what the smallest cluster needs, times as many nodes: a ratio of 1 is linear. */
export interface GrowthFigure {
  readonly nodes: number
  readonly figure: Figure
  /** The same against the point before, which has less of the fixed part in it; 1 for the first. */
  readonly step: number
}

/** Compares each point with the first one, and with the one before it. */
export function growthFigures({ name, unit, points }: Growth): readonly GrowthFigure[] {
  const [first] = points
  if (first === undefined) throw new RangeError(`${name} has no point`)
  return points.map(({ nodes, value }, index) => {
    const before = points[index - 1] ?? first
    const reference = (first.value / first.nodes) * nodes
    return {
      nodes,
      figure: { value: shown(value, unit), unit, reference: shown(reference, unit), ratio: rounded(value / reference) },
      step: rounded(value / nodes / (before.value / before.nodes)),
    }
  })
}

/** A Markdown table: a row for each number of nodes, a column for each thing, with its ratio and its step in brackets. */
export function toGrowthTable(growths: readonly Growth[]): string {
  const columns = growths.map(growth => ({ name: growth.name, figures: growthFigures(growth) }))
  const rows = (columns[0]?.figures ?? []).map(({ nodes }, row) => {
    const cells = columns.map(({ figures }) => {
      const cell = figures[row]
      if (cell?.nodes !== nodes) throw new RangeError(`there is a column without a figure for ${nodes} nodes`)
      return `${cell.figure.value} ${cell.figure.unit} (${cell.figure.ratio}, ${cell.step})`
    })
    return `| ${[nodes, ...cells].join(' | ')} |`
  })
  return [
    `| ${['nodes', ...columns.map(({ name }) => name)].join(' | ')} |`,
    `|${'---|'.repeat(columns.length + 1)}`,
    ...rows,
  ].join('\n')
}

/** By the number of nodes, then by name, as `--json` prints it. */
export function growthJson(growths: readonly Growth[]): Readonly<Record<string, Readonly<Record<string, Figure>>>> {
  const byNodes: Record<string, Record<string, Figure>> = {}
  for (const growth of growths) {
    for (const { nodes, figure } of growthFigures(growth)) {
      byNodes[nodes] = { ...byNodes[nodes], [growth.name]: figure }
    }
  }
  return byNodes
}

/** Bytes are counted, not measured. */
function shown(value: number, unit: Unit): number {
  return unit === 'bytes' ? value : rounded(value)
}
