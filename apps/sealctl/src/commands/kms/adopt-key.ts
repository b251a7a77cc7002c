import { type Command } from 'commander'
import { type Session } from '../../command.ts'
import { kmsCommand } from './kms-command.ts'

export interface AdoptKeyOptions {
  readonly yes: boolean
}

/** Adds `sealctl kms adopt-key`. */
export function addKmsAdoption(kms: Command, session: Session): void {
  const command = kms
    .command('adopt-key')
    .description(
      'Has the KMS plugin of this node take the key that the backend has now, where that is not the one that it knows. Only if the old key cannot be brought back: what that has encrypted is lost without it.',
    )
    .option('--yes', 'do it; left out: only show what would be done', false)
  kmsCommand<AdoptKeyOptions>(command, session, {
    examples: ['adopt-key', 'adopt-key --yes'],
    load: async () => (await import('./run-adopt-key.ts')).runAdoptKey,
  })
}
