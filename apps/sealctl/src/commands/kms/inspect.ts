import { type Command, InvalidArgumentError } from 'commander'
import { collect, type Session } from '../../command.ts'
import { kmsCommand } from './kms-command.ts'
import { type DoctorOptions } from './run-doctor.ts'
import type * as VerifyRotation from './run-verify-rotation.ts'

const MAX_VERSION = 0xffff_ffff

/** Adds the commands that look at key, plugin and cluster. They change nothing. */
export function addKmsInspection(kms: Command, session: Session): void {
  addDoctor(kms, session)
  addVerifyKey(kms, session)
  addRotationPlan(kms, session)
  addVerifyRotation(kms, session)
}

function addDoctor(kms: Command, session: Session): void {
  const command = kms
    .command('doctor')
    .description(
      'Checks configuration, plugin, key, policy and kube-apiserver’s side on this node, by a real round trip too. Ends with 2 if a check failed, with 3 if there are only warnings.',
    )
    .option('--encryption-config <file>', 'also check the EncryptionConfiguration of kube-apiserver')
  kmsCommand<DoctorOptions>(command, session, {
    examples: ['doctor', 'doctor --encryption-config /etc/kubernetes/encryption/config.yaml'],
    load: async () => (await import('./run-doctor.ts')).runDoctor,
  })
}

function addVerifyKey(kms: Command, session: Session): void {
  const command = kms
    .command('verify-key')
    .description(
      'Asks the backend for the key, tries every version, and compares with the running plugin and with what this node remembers. Ends with 2 if something is wrong, with 3 if it could not compare.',
    )
  kmsCommand<object>(command, session, {
    examples: ['verify-key', 'verify-key --json'],
    load: async () => (await import('./run-verify-key.ts')).runVerifyKey,
  })
}

function addRotationPlan(kms: Command, session: Session): void {
  const command = kms
    .command('rotation-plan')
    .description('Prints the steps of a rotation with versions, times and commands filled in. Does none of them.')
  kmsCommand<object>(command, session, {
    examples: ['rotation-plan'],
    load: async () => (await import('./run-rotation-plan.ts')).runRotationPlan,
  })
}

function addVerifyRotation(kms: Command, session: Session): void {
  const command = kms
    .command('verify-rotation')
    .description(
      'Looks through etcd: by which versions of the key is what encrypted, and what is not? Ends with 0 only if the older versions are needed no longer, else with 2. Keeps no data.',
    )
    .option('--etcd <url>', 'a member of etcd, may be repeated; left out: kubeadm’s on this node', collect)
    .option('--cacert <file>', 'CA of etcd; left out: kubeadm’s')
    .option('--cert <file>', 'client certificate for etcd; left out: kubeadm’s')
    .option('--key <file>', 'its private key, not open to others')
    .option('--prefix <text>', 'look only at keys that begin so, which never ends with 0; left out: all', '')
    .option('--provider <name>', 'the name of the provider in the EncryptionConfiguration: others are pointed out')
    .option(
      '--retire <version>',
      'this version, and what is older; left out: all before the one that encrypts',
      parseVersion,
    )
    .option(
      '--encryption-config <file>',
      'the EncryptionConfiguration of kube-apiserver: ends with 0 only if all that it has this plugin encrypt is encrypted by it. Without --retire that alone is asked. With --leaving: only if it encrypts nothing new any more',
    )
    .option(
      '--with <file>',
      'the record (--output) of a look at another etcd of this cluster: both go into the verdict and the record; may be repeated',
      collect,
      [],
    )
    .option(
      '--leaving',
      'ask only whether anything is left that needs this plugin, before it is taken away: ends with 0 if nothing is',
      false,
    )
    .option('--output <file>', 'write a record for sealctl kms keyring retire --verified, if it ends with 0')
    .option('--verbose', 'also the names of some objects of each kind', false)
  kmsCommand<VerifyRotation.VerifyRotationOptions>(command, session, {
    examples: [
      'verify-rotation',
      'verify-rotation --retire 3 --output rotation-3.json',
      'verify-rotation --encryption-config /etc/kubernetes/encryption/config.yaml',
      'verify-rotation --leaving --encryption-config /etc/kubernetes/encryption/config.yaml',
      'verify-rotation --retire 3 --etcd https://10.0.0.7:2379 --with rotation-3.json --output rotation-3-all.json',
      'verify-rotation --etcd https://10.0.0.5:2379 --cacert ca.crt --cert client.crt --key client.key',
    ],
    load: async () => (await import('./run-verify-rotation.ts')).runVerifyRotation,
  })
}

function parseVersion(text: string): number {
  const number = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Number.NaN
  if (number <= MAX_VERSION) return number
  throw new InvalidArgumentError('It must be the number of a version.')
}
