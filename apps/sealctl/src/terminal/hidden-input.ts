import { type Secret } from '@sealwright/secret'
import { type CommandContext, write } from '../context.ts'
import { createLineEditor, type Typed } from './line-editor.ts'

/** A terminal that shows nothing of what is typed. Disposing of it gives it back as it was. */
export interface HiddenInput extends Disposable {
  /**
   * Asks for a line.
   *
   * @returns the caller's; `undefined` if there will be no more.
   * @throws the reason of the signal, also after Ctrl-C.
   */
  ask(question: string): Promise<Secret | undefined>
}

/**
 * Takes a terminal over: nothing is shown, and bytes come as they are typed. They are never strings, and are wiped.
 *
 * What was typed or pasted ahead waits for the next question.
 */
export function hiddenInput(context: CommandContext, maxBytes: number): HiddenInput {
  const { stdin, stderr, signal, interrupt } = context
  const editor = createLineEditor(maxBytes)
  const waiting: Exclude<Typed, { kind: 'more' }>[] = []
  let wake = (): void => undefined

  const onData = (bytes: Buffer): void => {
    for (const byte of bytes) {
      const typed = editor.type(byte)
      if (typed.kind === 'interrupt') interrupt()
      else if (typed.kind !== 'more') waiting.push(typed)
    }
    bytes.fill(0)
    wake()
  }
  const onEnd = (): void => {
    waiting.push({ kind: 'end' })
    wake()
  }
  const onAbort = (): void => {
    wake()
  }

  stdin.setRawMode?.(true)
  stdin.on('data', onData).on('end', onEnd)
  stdin.resume()
  signal.addEventListener('abort', onAbort)

  const next = async (): Promise<Secret | undefined> => {
    for (;;) {
      signal.throwIfAborted()
      const typed = waiting.shift()
      if (typed?.kind === 'line') return typed.line
      if (typed !== undefined) return undefined
      await new Promise<null>(resolve => {
        wake = () => {
          resolve(null)
        }
      })
    }
  }

  return {
    async ask(question) {
      await write(stderr, question)
      try {
        return await next()
      } finally {
        // The Enter that was typed was not shown either.
        await write(stderr, '\n')
      }
    },
    [Symbol.dispose]() {
      signal.removeEventListener('abort', onAbort)
      stdin.off('data', onData).off('end', onEnd)
      stdin.setRawMode?.(false)
      stdin.pause()
      for (const typed of waiting) if (typed.kind === 'line') typed.line.wipe()
      editor[Symbol.dispose]()
    },
  }
}
