import { hex } from '@sealwright/bytes'
import { MAX_ENROLMENT_BYTES } from '@sealwright/control-api'
import { admitNode } from '@sealwright/kms-backends'
import { type CommandResult } from '../../command.ts'
import { openNewFile, readWhole } from '../../files.ts'
import { enrolRequest } from '../../local/run-enrol.ts'
import { plain } from '../../render/plain.ts'
import { askVisible } from '../../terminal/ask.ts'
import { type ApproveOptions, type RequestOptions } from './keyring.ts'
import { type KmsCall } from './kms-command.ts'
import { openKmsNode } from './open-kms-node.ts'
import { KEEP_A_COPY } from './words.ts'

/** `sealctl kms keyring enroll request`. */
export async function runRequest({ options, context }: KmsCall<RequestOptions>): Promise<CommandResult> {
  await using node = await openKmsNode(options.config)
  return await enrolRequest(node, options, {
    approve: 'sealctl kms keyring enroll approve',
    signal: context.signal,
  })
}

/** `sealctl kms keyring enroll approve`. */
export async function runApprove({ options, context }: KmsCall<ApproveOptions>): Promise<CommandResult> {
  const { label, output } = options
  const request = await readWhole(context, options.request, MAX_ENROLMENT_BYTES)
  await using node = await openKmsNode(options.config)
  // Before anybody is let in whose keyring would then have no place.
  await using file = await openNewFile(output)
  const fingerprint =
    options.fingerprint ??
    (await askVisible(context, 'Fingerprint that the new node shows: ', '--fingerprint FINGERPRINT'))
  const { keyring, bytes, sealName } = await admitNode(node, { request, fingerprint, label }, context.signal)
  await file.fill(bytes)
  const clusterId = hex(keyring.clusterId)
  return {
    json: { output, clusterId, seal: sealName, label },
    text: [
      plain(`${label} is let in by ${sealName}; its keyring is in ${output}. Bring it there:`),
      plain(`  sealctl kms keyring enroll apply ${output} --cluster-id ${clusterId}`),
      KEEP_A_COPY,
    ].join('\n'),
  }
}
