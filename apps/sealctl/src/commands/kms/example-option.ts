import { Option } from 'commander'

/** What files are printed for. */
export interface PrintOptions {
  /** Path of a configuration. */
  readonly config: string
  /** Of none: for the example. */
  readonly example: boolean
}

/** Of each command that prints a file. Never taken by itself: a forgotten `--config` would print the files of another cluster. */
export function exampleOption(): Option {
  return new Option('--example', 'print it for the example in deploy/kms, without a configuration')
    .conflicts('config')
    .default(false)
}
