import { type Command } from 'commander'
import { type Session } from '../../command.ts'
import { addKmsAdoption } from './adopt-key.ts'
import { addKmsInspection } from './inspect.ts'
import { addKmsKeyring } from './keyring.ts'
import { addKmsFiles } from './print.ts'

/** Adds `sealctl kms`: one line a command. */
export function addKms(program: Command, session: Session): void {
  const kms = program.command('kms').description('The KMS plugin, which encrypts the Secrets of kube-apiserver.')
  addKmsKeyring(kms, session)
  addKmsFiles(kms, session)
  addKmsInspection(kms, session)
  addKmsAdoption(kms, session)
}
