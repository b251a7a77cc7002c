import { type WriteStep } from '../write-keyring.ts'

/** File descriptor of standard output. */
export const STANDARD_OUT = 1

/** What the parent may order, one JSON object a line. */
export type ChildOrder =
  | { readonly op: 'read'; readonly path: string }
  | { readonly op: 'write'; readonly path: string; readonly sequence: number; readonly fillerBytes: number }
  | { readonly op: 'increment'; readonly path: string; readonly times: number }
  | { readonly op: 'hold-agent-lock'; readonly path: string }
  | { readonly op: 'start-grandchild' }
  | { readonly op: 'list'; readonly path: string }
  | { readonly op: 'run'; readonly program: string; readonly args: readonly string[] }
  | { readonly op: 'rewrite-until-killed'; readonly path: string; readonly dieAt: WriteStep | undefined }

/** What the child says. `started` and `step` come while it works, the others end an order. */
export type ChildAnswer =
  | { readonly kind: 'started'; readonly sequence: number }
  | { readonly kind: 'step'; readonly step: WriteStep }
  | { readonly kind: 'done'; readonly sequence: number }
  | { readonly kind: 'listed'; readonly names: readonly string[] }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
