import { readSecretFile } from '@sealwright/program'
import { type Secret } from '@sealwright/secret'
import { type CommandContext } from '../context.ts'
import { type HiddenInput, hiddenInput } from '../terminal/hidden-input.ts'
import { Pkcs11CommandError } from './errors.ts'

const MAX_PIN_BYTES = 256

/** Where PINs come from: files, or somebody at the terminal. */
export interface PinSource extends Disposable {
  /** From `file`, else asked for once. The caller wipes it. */
  existing(who: string, file: string | undefined): Promise<Secret>
  /** From `file`, else asked for twice. The caller wipes it. */
  chosen(who: string, file: string | undefined): Promise<Secret>
}

/**
 * Takes the terminal over when the first PIN is asked for, until it is disposed of.
 *
 * Each PIN: @throws {@link Pkcs11CommandError} `PKCS11_COMMAND_NO_PIN`, `PKCS11_COMMAND_PIN_DIFFERS`; what `readSecretFile` says of a file.
 */
export function pinSource(context: CommandContext): PinSource {
  let input: HiddenInput | undefined

  const ask = async (question: string): Promise<Secret> => {
    if (context.stdin.isTTY !== true) throw noPin('nobody can be asked here')
    input ??= hiddenInput(context, MAX_PIN_BYTES)
    const pin = await input.ask(question)
    if (pin === undefined || pin.byteLength === 0) throw noPin('none was typed')
    return pin
  }

  return {
    existing: (who, file) => (file === undefined ? ask(`PIN of ${who}: `) : readSecretFile(file)),
    async chosen(who, file) {
      if (file !== undefined) return await readSecretFile(file)
      const pin = await ask(`New PIN of ${who}: `)
      try {
        using again = await ask('The same again: ')
        if (pin.equals(again)) return pin
        throw new Pkcs11CommandError('PKCS11_COMMAND_PIN_DIFFERS', 'the two are not the same; nothing was changed')
      } catch (error) {
        pin.wipe()
        throw error
      }
    },
    [Symbol.dispose]() {
      input?.[Symbol.dispose]()
    },
  }
}

function noPin(reason: string): Pkcs11CommandError {
  return new Pkcs11CommandError(
    'PKCS11_COMMAND_NO_PIN',
    `a PIN is needed, and ${reason}: give a file with it, mode 0600 (see --help)`,
  )
}
