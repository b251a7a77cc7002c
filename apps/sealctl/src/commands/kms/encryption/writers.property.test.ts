import fc from 'fast-check'
import { changeEncryptionFile } from './change.ts'
import { KmsCommandError } from '../errors.ts'
import { parseEncryptionFile } from './file.ts'
import { type ChangedFile } from './kept.ts'
import { leaveEncryptionFile } from './leave.ts'
import { parseGroupResource, rulesFor } from './rules.ts'

const ENDPOINT = 'unix:///run/sealwright/kms/kms.sock'
const NAMED = ['secrets', 'configmaps', 'jobs.batch']
/** Some of them in no file but by a wildcard. */
const RESOURCES = [...NAMED, 'pods', 'cronjobs.batch', '*.batch', '*.*']
const RUNS = 1_000
const STEPS = ['last', 'first', 'final', 'prepare', 'decrypt', 'remove'] as const
type Step = (typeof STEPS)[number]

interface Provider extends Readonly<Record<string, unknown>> {
  readonly kms?: { readonly endpoint: string }
}
interface Rule {
  readonly resources: readonly string[]
  readonly providers: readonly Provider[]
}

/** Before they get a name: no two kms providers of a file have the same. The keys differ: one aescbc is not like another. */
const provider = fc.constantFrom<Provider>(
  ...[{ identity: {} }, { aescbc: { keys: [{ name: 'a', secret: 'AA==' }] } }],
  ...[{ aescbc: { keys: [{ name: 'b', secret: 'BB==' }] } }, { secretbox: { keys: [] } }],
  ...[{ kms: { endpoint: ENDPOINT } }, { kms: { endpoint: ENDPOINT } }, { kms: { endpoint: 'unix:///other' } }],
)
/** Mostly one resource or two, so that they meet; a wildcard in the last entry at most, where kube-apiserver takes it. */
const rule = (names: readonly string[]): fc.Arbitrary<Rule> =>
  fc.record({
    resources: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 2 }),
    providers: fc.array(provider, { minLength: 1, maxLength: 3 }),
  })
const file = fc
  .tuple(fc.array(rule(NAMED), { minLength: 1, maxLength: 4 }), fc.option(rule(['*.batch', '*.*'])))
  .map(([rules, wide]) => (wide === null ? rules : [...rules, wide]))

function write(rules: readonly Rule[]): string {
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: rules.map(({ resources, providers }, entry) => ({
      resources,
      providers: providers.map(({ kms, ...other }, at) =>
        kms === undefined ? other : { kms: { ...kms, apiVersion: 'v2', name: `kms-${entry}-${at}` } },
      ),
    })),
  })
}

/** Undefined: it is refused. */
function take(text: string, step: Step, resources: readonly string[]): ChangedFile | undefined {
  try {
    const file = parseEncryptionFile(text, 'c')
    return step === 'first' || step === 'last' || step === 'final'
      ? changeEncryptionFile(file, { stage: step, endpoint: ENDPOINT, name: undefined, resources }, 'c')
      : leaveEncryptionFile(file, { step, endpoint: ENDPOINT }, 'c')
  } catch (error) {
    if (error instanceof KmsCommandError && error.code === 'KMS_COMMAND_ENCRYPTION_CONFIG') return undefined
    throw error
  }
}

/** By what kube-apiserver writes each resource, with its keys. */
function writersOf(text: string): readonly Provider[] {
  const { document, rules } = parseEncryptionFile(text, 'c')
  const { resources } = document.toJS() as { readonly resources: readonly Rule[] }
  return RESOURCES.map(resource => {
    const [found] = rulesFor(rules, { ...parseGroupResource(resource), isApiObject: true })
    return (found && resources[rules.indexOf(found)]?.providers[0]) ?? { identity: {} }
  })
}

describe('any step on any EncryptionConfiguration', () => {
  it.each(STEPS)(
    'changes who writes a resource from the plugin or to it, where that is the step, and never else: %s',
    step => {
      const asked = step === 'first' || step === 'last' ? ['configmaps', 'jobs.batch', 'pods'] : []
      const isOurs = ({ kms }: Provider): boolean => kms?.endpoint === ENDPOINT
      let done = 0
      fc.assert(
        fc.property(file, fc.subarray(asked), (rules, resources) => {
          const text = write(rules)
          const changed = take(text, step, resources)
          if (changed === undefined) return
          done += 1
          const [before, after] = [writersOf(text), writersOf(changed.text)]
          const isChangeOver = step === 'first' || step === 'decrypt'
          for (const [at, from] of before.entries()) {
            const to = after[at] ?? {}
            if (!(isChangeOver && (isOurs(from) || isOurs(to)))) expect(to).toEqual(from)
          }
          if (step === 'decrypt') expect(after.some(isOurs)).toBe(false)
          if (step === 'remove') expect(changed.text).not.toContain(ENDPOINT)
        }),
        { numRuns: RUNS },
      )
      // Not all of them were refused.
      expect(done).toBeGreaterThan(0)
    },
  )
})
