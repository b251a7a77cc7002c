import { type EncryptionRule, parseGroupResource, problemOfResources, problemOfRules, rulesFor } from './rules.ts'

const identity = { kind: 'identity' } as const
const kms = (name: string) => ({ kind: 'kms', name, endpoint: `unix:///${name}`, apiVersion: 'v2' }) as const
const rule = (...resources: readonly string[]): EncryptionRule => ({ resources, providers: [identity] })

describe('resources of one entry', () => {
  it.each([
    [['secrets']],
    [['secrets', 'configmaps', 'events']],
    [['*.']],
    [['*.*']],
    [['*.apps', '*.']],
    [['*.apps', 'secrets']],
    [['deployments.apps', 'deployments.example.org']],
    [['secrets', 'secrets.example.org']],
  ])('may be %j', resources => {
    expect(problemOfResources(resources)).toBeUndefined()
  })

  // Each of these kube-apiserver 1.36 refuses.
  it.each([
    [['*'], /core group/],
    [['Secrets'], /capital letters/],
    [['deployments.Apps'], /capital letters/],
    [['secrets', 'secrets'], /stands twice/],
    [['secrets', 'secrets.'], /stands twice/],
    [['*.*', 'secrets'], /'?\*\.\*'? is all of secrets/],
    [['*.apps', '*.*'], /is all of \*\.apps/],
    [['*.', 'configmaps'], /is all of configmaps/],
    [['*.apps', 'deployments.apps'], /is all of deployments\.apps/],
    [['events.events.k8s.io'], /name events/],
    [['*.events.k8s.io'], /name events/],
    [['*.extensions'], /is gone/],
    [['ingresses.extensions'], /is gone/],
    [['serviceipallocations'], /no API/],
    [['servicenodeportallocations'], /no API/],
    [['apiserveripinfo'], /no API/],
    [['secrets.*'], /across all groups/],
  ])('may not be %j', (resources, expected) => {
    expect(problemOfResources(resources)).toMatch(expected)
  })
})

describe('the entries of a configuration', () => {
  it.each<[string, readonly EncryptionRule[], RegExp | undefined]>([
    ['a wildcard behind what it has', [rule('secrets'), rule('*.*')], undefined],
    ['the same resource in two', [rule('secrets'), rule('secrets')], undefined],
    ['what a wildcard before it has', [rule('*.apps'), rule('deployments.apps')], /wildcard of an earlier entry/],
    ['anything behind everything', [rule('*.*'), rule('secrets')], /wildcard of an earlier entry/],
    ['the same wildcard in two', [rule('*.'), rule('*.')], /wildcard of an earlier entry/],
    ['an entry for nothing', [rule()], /no resources/],
    ['an entry without providers', [{ resources: ['secrets'], providers: [] }], /no providers/],
    [
      'one name for two plugins',
      [rule('secrets'), rule('configmaps')].map(each => ({ ...each, providers: [kms('a')] })),
      /two kms providers are called a/,
    ],
  ])('are taken as kube-apiserver takes them: %s', (_what, rules, expected) => {
    const problem = problemOfRules(rules)
    if (expected === undefined) expect(problem).toBeUndefined()
    else expect(problem).toMatch(expected)
  })
})

describe('the entries for an object', () => {
  const rules = [rule('secrets', 'deployments.apps'), rule('secrets'), rule('*.apps'), rule('*.'), rule('*.*')]
  const indices = (text: string, known: { readonly group?: undefined; readonly isApiObject?: boolean } = {}) =>
    rulesFor(rules, { ...parseGroupResource(text), isApiObject: true, ...known }).map(each => rules.indexOf(each))

  it.each([
    ['secrets', [0, 1]],
    ['deployments.apps', [0]],
    ['daemonsets.apps', [2]],
    ['configmaps', [3]],
    ['secrets.example.org', [4]],
  ])('%s: its own, else those of its group, else those of everything', (text, expected) => {
    expect(indices(text)).toEqual(expected)
  })

  it('are all that may be the ones where the group is not known', () => {
    expect(indices('deployments', { group: undefined })).toEqual([0])
    expect(indices('daemonsets', { group: undefined })).toEqual([2, 3, 4])
  })

  it('are none by wildcards for what is no object of the API', () => {
    expect(indices('leases', { isApiObject: false })).toEqual([])
    expect(indices('secrets', { isApiObject: false })).toEqual([0, 1])
  })
})
