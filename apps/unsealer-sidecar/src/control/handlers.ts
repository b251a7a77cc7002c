import { ControlApiError, memberSetFingerprint, type OperationId } from '@sealwright/control-api'
import { type ControlApiDependencies } from './control-api.ts'
import { type Handlers } from './handler.ts'
import { type SealOperations } from './operations.ts'
import { viewNamedSealStatus, withShareSets } from './status.ts'
import {
  viewCeremony,
  viewGeneration,
  viewListedSeal,
  viewMember,
  viewRehearsal,
  viewReload,
  viewRotation,
} from './views.ts'

type StatusOperation = 'health' | 'readiness' | 'metrics' | 'openApi' | 'sealStatus' | 'namedSealStatus' | 'probe'

/** What an agent answers by itself, whatever state its keyring is in. */
export function statusHandlers(
  dependencies: Pick<ControlApiDependencies, 'status' | 'probe' | 'isOpen' | 'metrics' | 'operations'>,
): Pick<Handlers, StatusOperation> {
  const { status, probe, isOpen, metrics, operations } = dependencies
  return {
    health: () => ({ status: 'ok' }),
    readiness: () => ({ ready: isOpen() }),
    metrics: async () => ({ contentType: metrics.contentType, text: await metrics.text() }),
    openApi: async () => (await import('../generated/openapi.ts')).OPENAPI_DOCUMENT,
    sealStatus: async ({ signal }) => await withShareSets(await status(signal), name => operations.shareSets(name)),
    namedSealStatus: async ({ parameters: { name }, signal }) => {
      const node = await status(signal)
      const isOfPeople = node.seals.some(seal => seal.name === name && seal.type === 'shamir')
      const sets = isOfPeople ? await operations.shareSets(name) : undefined
      return viewNamedSealStatus(node, name, sets) ?? unknownSeal(name, 'in the configuration of this node')
    },
    probe: async ({ signal }) => ({ seals: [...(await probe(signal))] }),
  }
}

/** What operators do to the seals of a cluster. */
export function operationHandlers(operations: SealOperations): Pick<Handlers, Exclude<OperationId, StatusOperation>> {
  return {
    seals: () => ({ seals: operations.seals().map(viewListedSeal) }),
    seal: ({ parameters: { name } }) => {
      const seal = operations.seals().find(candidate => candidate.name === name)
      return seal === undefined ? unknownSeal(name, 'here') : viewListedSeal(seal)
    },
    deleteSeal: async ({ parameters: { name }, query: { confirm, checkedNode = [] }, caller, signal }) => {
      await operations.deleteSeal({ sealName: name, confirm, checkedNodes: checkedNode, caller }, signal)
      return undefined
    },
    reload: async ({ body: { tend = true }, caller }) => viewReload(await operations.reload({ tend, caller })),
    initialise: async ({ parameters: { name }, body: { label, shares }, caller, signal }) => {
      const made = await operations.initialise({ sealName: name, label, shares, caller }, signal)
      return { secrets: made.shares, facts: { clusterId: made.clusterId, member: viewMember(made.member) } }
    },
    confirmShares: async ({ parameters: { name }, body: { memberId }, caller, signal }) => ({
      member: viewMember(await operations.confirmShares({ sealName: name, memberId, caller }, signal)),
    }),

    ceremonies: () => ({ ceremonies: operations.ceremonies().map(viewCeremony) }),
    enterShare: async ({ query: { seal, nonce }, body, caller, signal }) =>
      viewCeremony(await operations.enterShare({ sealName: seal, nonce, share: body, caller }, signal)),
    resetShares: async ({ body: { seal }, caller }) => {
      const ceremony = await operations.resetShares({ sealName: seal, caller })
      return ceremony === undefined ? {} : { ceremony: viewCeremony(ceremony) }
    },
    rehearse: async ({ query: { seal }, body, caller, signal }) =>
      viewRehearsal(await operations.rehearse({ sealName: seal, shares: body, caller }, signal)),

    generations: () => ({ generations: operations.generations().map(viewGeneration) }),
    rotate: async ({ body: { breakChain = false, drop = [], nodes = [], lost = [], members }, caller, signal }) =>
      viewRotation(await operations.rotate({ breakChain, drop, nodes, lost, members, caller }, signal)),
    retire: async ({ query: { lostNode = [] }, body, caller, signal }) => {
      const { retired, kept } = await operations.retire({ snapshot: body, lostNodes: lostNode, caller }, signal)
      return { retired: retired.map(viewGeneration), kept: kept.map(viewGeneration) }
    },

    members: () => {
      const members = operations.members()
      const active = members.filter(({ state }) => state === 'active')
      return {
        members: members.map(viewMember),
        membersFingerprint: memberSetFingerprint(active.map(({ fingerprint }) => fingerprint)),
      }
    },
    revokeMember: async ({ body, caller, signal }) => {
      const { seal: sealName, memberId, confirm, drop = [], nodes = [], lost = [], members } = body
      const request = { sealName, memberId, confirm, drop, nodes, lost, members, caller }
      return viewRotation(await operations.revokeMember(request, signal))
    },
    exportKeyring: () => ({ bytes: operations.exportKeyring(), facts: undefined }),
    importKeyring: async ({ body, caller, signal }) => {
      const { revision, hasChanged } = await operations.importKeyring({ bytes: body, caller }, signal)
      return { revision, changed: hasChanged }
    },
    approveEnrolment: async ({ query: { fingerprint, label }, body, caller, signal }) => {
      const { member, keyring } = await operations.approveEnrolment({ bytes: body, fingerprint, label, caller }, signal)
      return { bytes: keyring, facts: { member: viewMember(member) } }
    },
  }
}

function unknownSeal(name: string, where: string): never {
  throw new ControlApiError('CONTROL_SEAL_UNKNOWN', `there is no seal ${name} ${where}`)
}
