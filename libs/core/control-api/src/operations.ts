import { type Operation } from './operation.ts'
import { HEALTH_OPERATIONS } from './operations/health.ts'
import { MEMBER_OPERATIONS } from './operations/members.ts'
import { ROTATION_OPERATIONS } from './operations/rotation.ts'
import { SEAL_OPERATIONS } from './operations/seals.ts'
import { UNSEAL_OPERATIONS } from './operations/unseal.ts'

/** All that the control API can be asked: the agent, its clients and the OpenAPI document read it from here. */
export const OPERATIONS = {
  ...HEALTH_OPERATIONS,
  ...SEAL_OPERATIONS,
  ...UNSEAL_OPERATIONS,
  ...ROTATION_OPERATIONS,
  ...MEMBER_OPERATIONS,
} as const satisfies Readonly<Record<string, Operation>>

/** Name of an operation. */
export type OperationId = keyof typeof OPERATIONS
/** The table's own entry for one. */
export type OperationOf<Id extends OperationId> = (typeof OPERATIONS)[Id]

/** The names, in the order of the table. */
export const OPERATION_IDS: readonly OperationId[] = Object.keys(OPERATIONS) as OperationId[]

/** The methods that a path may be asked with; none if there is no such path. `path` is decoded, and has no query. */
export function methodsOf(path: string): readonly Operation['method'][] {
  const segments = path.split('/')
  return OPERATION_IDS.map((id): Operation => OPERATIONS[id])
    .filter(operation => {
      const pattern = operation.path.split('/')
      return (
        pattern.length === segments.length &&
        pattern.every((part, index) => part === segments[index] || (part.startsWith(':') && segments[index] !== ''))
      )
    })
    .map(({ method }) => method)
}

/** The path with its parameters filled in, and the query behind it. */
export function pathOf(
  { path }: Pick<Operation, 'path'>,
  parameters: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string | readonly string[] | undefined>> = {},
): string {
  const filled = path.replaceAll(/:(\w+)/g, (_whole, name: string) => encodeURIComponent(parameters[name] ?? ''))
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const one of typeof value === 'string' ? [value] : (value ?? [])) search.append(name, one)
  }
  return search.size === 0 ? filled : `${filled}?${search.toString()}`
}
