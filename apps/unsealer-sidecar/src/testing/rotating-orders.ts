/** File descriptor of standard output. */
export const STANDARD_OUT = 1

/** Where in the first rotation of its first node a child may be told to kill itself. */
export const DEATH_POINTS = ['unlocking', 'changing', 'proving', 'rotated'] as const

/** One of {@link DEATH_POINTS}. */
export type DeathPoint = (typeof DEATH_POINTS)[number]

/** What the parent orders. */
export interface RotatingOrder {
  /** One for each node that the child is to run. A node takes longer to load than to be killed. */
  readonly storePaths: readonly string[]
  /** The device of the only seal of each. */
  readonly device: string
  /** `undefined`: somebody else kills it. */
  readonly dieAt: DeathPoint | undefined
}

/** What a node of the child says while it works, and which one it is; none ends by itself. */
export type RotatingAnswer = { readonly storePath: string } & (
  | { readonly kind: 'ready'; readonly generations: number }
  | { readonly kind: 'encrypted'; readonly blobHex: string; readonly keyId: string }
  | { readonly kind: 'rotated'; readonly generations: number }
  | { readonly kind: 'failed'; readonly message: string }
)
