import { decodeFacts, FACTS_HEADER, memberSetFingerprint, OPERATIONS } from '@sealwright/control-api'
import { controlScope } from './testing/control-scope.ts'
import { CLUSTER_ID, NONCE, sharesMember, tpmMember } from './testing/fake-operations.ts'
import { send, sendBytes, sendJson } from './testing/send.ts'

const unknownCaller = { processId: undefined, userId: undefined }
const tpmView = {
  ...{ seal: 'tpm', sealType: 'tpm', memberId: tpmMember.memberId, label: 'node-a', state: 'active' },
  fingerprint: tpmMember.fingerprint,
  reachableByPublicKey: true,
  records: [
    {
      ...{ generation: 1, keyId: 'sw-1', method: 'tpm-sealed', quantumExposed: false },
      createdAt: '1970-01-01T00:00:00.000Z',
    },
    {
      ...{ generation: 2, keyId: 'sw-2', method: 'tpm-imported', quantumExposed: true },
      createdAt: '1970-01-02T00:00:00.000Z',
    },
  ],
}
const tpmPlace = { seal: 'tpm', memberId: tpmMember.memberId, label: 'node-a' }

describe('the operations behind the control API', () => {
  it('list seals, members and generations', async () => {
    await using control = await controlScope()
    const { json: seals } = await sendJson(control.path, 'GET', '/v1/sys/seals')
    expect(seals).toMatchObject({
      seals: [
        { name: 'tpm', type: 'tpm', configured: { priority: 1, disabled: false }, opened: true, members: [tpmView] },
        { name: 'people', members: [{ label: 'board', shares: { threshold: 2, count: 3 } }] },
        { name: 'gone', type: 'transit', opened: false, members: [] },
      ],
    })
    expect((seals as { seals: object[] }).seals[2]).not.toHaveProperty('configured')
    expect(await sendJson(control.path, 'GET', '/v1/sys/seals/tpm')).toMatchObject({
      status: 200,
      json: { name: 'tpm', members: [tpmView] },
    })
    expect(await sendJson(control.path, 'GET', '/v1/sys/seals/none')).toMatchObject({
      status: 404,
      json: { code: 'CONTROL_SEAL_UNKNOWN' },
    })
    expect(await sendJson(control.path, 'GET', '/v1/sys/members')).toMatchObject({
      json: {
        members: [tpmView, {}],
        membersFingerprint: memberSetFingerprint([tpmMember.fingerprint, sharesMember.fingerprint]),
      },
    })
    expect(await sendJson(control.path, 'GET', '/v1/sys/generations')).toEqual({
      status: 200,
      json: {
        generations: [
          { number: 1, keyId: 'sw-1', state: 'active', step: 'chained', current: false },
          { number: 2, keyId: 'sw-2', state: 'active', step: 'chained', current: true },
        ],
      },
    })
  })

  it('delete a seal whose name comes twice', async () => {
    await using control = await controlScope()
    expect(await sendJson(control.path, 'DELETE', '/v1/sys/seals/gone?confirm=gone')).toEqual({
      status: 204,
      json: undefined,
    })
    await sendJson(control.path, 'DELETE', '/v1/sys/seals/gone?confirm=gone&checkedNode=a&checkedNode=b')
    expect(control.asked).toEqual([
      ['deleteSeal', { sealName: 'gone', confirm: 'gone', checkedNodes: [], caller: unknownCaller }],
      ['deleteSeal', { sealName: 'gone', confirm: 'gone', checkedNodes: ['a', 'b'], caller: unknownCaller }],
    ])
    expect(await sendJson(control.path, 'DELETE', '/v1/sys/seals/gone')).toEqual({
      status: 400,
      json: { errors: ['confirm is missing in the query'], code: 'CONTROL_REQUEST_INVALID' },
    })
  })

  it('read the configuration anew, and tell what that did to the seals', async () => {
    await using control = await controlScope()
    expect(await sendJson(control.path, 'POST', '/v1/sys/reload')).toEqual({
      status: 200,
      json: { added: ['people'], changed: ['tpm'], removed: ['old'], enabled: ['tpm', 'people'] },
    })
    await sendJson(control.path, 'POST', '/v1/sys/reload', { tend: false })
    expect(control.asked).toEqual([
      ['reload', { tend: true, caller: unknownCaller }],
      ['reload', { tend: false, caller: unknownCaller }],
    ])
  })

  it('initialise a seal, and hand out the shares of a Shamir seal as lines of bytes, with the facts beside them', async () => {
    await using control = await controlScope()
    const answer = await send(control.path, {
      ...{ method: 'POST', path: '/v1/sys/init/people', headers: { 'content-type': 'application/json' } },
      body: ['{"label":"board","shares":{"threshold":2,"count":3}}'],
    })
    expect(answer.status).toBe(200)
    expect(answer.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'cache-control': 'no-store' })
    expect(answer.body.toString()).toBe('share-one\nshare-two\nshare-three\n')
    const facts = answer.headers[FACTS_HEADER]
    expect(decodeFacts(OPERATIONS.initialise.answer.facts, String(facts))).toMatchObject({
      clusterId: CLUSTER_ID,
      member: { memberId: sharesMember.memberId, shares: { threshold: 2, count: 3 } },
    })
    const automatic = await send(control.path, { method: 'POST', path: '/v1/sys/init/tpm' })
    expect([automatic.status, automatic.body.length]).toEqual([200, 0])
    expect(control.asked).toEqual([
      ['initialise', { sealName: 'people', label: 'board', shares: { threshold: 2, count: 3 }, caller: unknownCaller }],
      ['initialise', { sealName: 'tpm', label: undefined, shares: undefined, caller: unknownCaller }],
    ])
  })

  it('take the word for it that the shares of a new set have arrived', async () => {
    await using control = await controlScope()
    const { memberId } = sharesMember
    expect(await sendJson(control.path, 'POST', '/v1/sys/init/people/confirm', { memberId })).toMatchObject({
      status: 200,
      json: { member: { memberId, records: [{ method: 'shamir-hybrid' }] } },
    })
    expect(control.asked).toEqual([['confirmShares', { sealName: 'people', memberId, caller: unknownCaller }]])
  })

  it('take a share as bytes, say how far they are, and begin anew', async () => {
    await using control = await controlScope()
    expect(await sendJson(control.path, 'GET', '/v1/sys/unseal')).toMatchObject({
      json: { ceremonies: [{ seal: 'people', entered: [], nonce: '', complete: false }] },
    })
    const first = await sendBytes(control.path, 'POST', '/v1/sys/unseal', 'sw-share-1-first')
    expect(JSON.parse(first.body.toString())).toEqual({
      ...{ seal: 'people', setLabel: 'board', threshold: 2, count: 3 },
      ...{ entered: [1], nonce: NONCE, complete: false },
    })
    const second = await sendBytes(control.path, 'POST', `/v1/sys/unseal?seal=people&nonce=${NONCE}`, 'second')
    expect(JSON.parse(second.body.toString())).toMatchObject({ entered: [1, 2], complete: true })
    expect(await sendJson(control.path, 'POST', '/v1/sys/unseal/reset', {})).toMatchObject({
      json: { ceremony: { entered: [] } },
    })
    expect(await sendJson(control.path, 'POST', '/v1/sys/unseal/reset', { seal: 'gone' })).toEqual({
      status: 200,
      json: {},
    })
    expect(control.asked).toMatchObject([
      ['enterShare', { sealName: undefined, nonce: undefined, share: 'sw-share-1-first' }],
      ['enterShare', { sealName: 'people', nonce: NONCE, share: 'second' }],
      ['resetShares', { sealName: undefined }],
      ['resetShares', { sealName: 'gone' }],
    ])
  })

  it('rehearse with shares that come one a line', async () => {
    await using control = await controlScope()
    const answer = await sendBytes(control.path, 'POST', '/v1/sys/rehearse?seal=people', 'one\r\n\ntwo\nthree')
    expect(JSON.parse(answer.body.toString())).toEqual({
      ...{ seal: 'people', setLabel: 'board', threshold: 2, quorum: true },
      shares: [
        { index: 1, right: true },
        { index: 2, right: true },
        { index: 3, right: false },
      ],
    })
    expect(control.asked).toMatchObject([['rehearse', { sealName: 'people', shares: ['one', 'two', 'three'] }]])
  })

  it('rotate, and shut a member out', async () => {
    await using control = await controlScope()
    expect(await sendJson(control.path, 'POST', '/v1/sys/rotate/seal-key')).toEqual({
      status: 200,
      json: { generation: 3, keyId: 'sw-3', wrapped: [tpmPlace], dropped: [] },
    })
    const agreed = { drop: ['0f'.repeat(16)], nodes: ['node-a', 'node-c'], lost: ['node-c'], members: 'ab'.repeat(16) }
    await sendJson(control.path, 'POST', '/v1/sys/rotate/seal-key', { breakChain: true, ...agreed })
    const revoked = { seal: 'tpm', memberId: tpmMember.memberId, confirm: 'node a', ...agreed }
    expect(await sendJson(control.path, 'POST', '/v1/sys/members/revoke', revoked)).toMatchObject({
      status: 200,
      json: { dropped: [{ seal: 'people', label: 'board' }] },
    })
    expect(control.asked).toEqual([
      ['rotate', { breakChain: false, drop: [], nodes: [], lost: [], members: undefined, caller: unknownCaller }],
      ['rotate', { breakChain: true, ...agreed, caller: unknownCaller }],
      [
        'revokeMember',
        { sealName: 'tpm', memberId: tpmMember.memberId, confirm: 'node a', ...agreed, caller: unknownCaller },
      ],
    ])
  })

  it('read a snapshot while it comes, whatever its size', async () => {
    await using control = await controlScope()
    const piece = new Uint8Array(1024 * 1024)
    const answer = await send(control.path, {
      ...{ method: 'POST', path: '/v1/sys/rotate/retire?lostNode=node-b&lostNode=node-c' },
      headers: { 'content-type': 'application/octet-stream' },
      body: Array.from({ length: 24 }, () => piece),
    })
    expect(JSON.parse(answer.body.toString())).toMatchObject({ retired: [{ number: 1 }], kept: [{ number: 2 }] })
    expect(control.asked).toEqual([
      ['retire', { snapshot: 24 * 1024 * 1024, lostNodes: ['node-b', 'node-c'], caller: unknownCaller }],
    ])
  })

  it('give and take a keyring byte for byte', async () => {
    await using control = await controlScope()
    const exported = await send(control.path, { method: 'GET', path: '/v1/sys/keyring' })
    expect([...exported.body]).toEqual([0, 255, 10, 13])
    expect(exported.headers).not.toHaveProperty(FACTS_HEADER)
    const imported = await sendBytes(control.path, 'PUT', '/v1/sys/keyring', 'SWKR\n\0')
    expect(JSON.parse(imported.body.toString())).toEqual({ revision: 7, changed: true })
    expect(control.asked).toEqual([['importKeyring', { bytes: 'SWKR\n\0', caller: unknownCaller }]])
  })

  it('take a new node in, whatever letters its label has', async () => {
    await using control = await controlScope()
    const label = 'Küche-日本'
    const query = new URLSearchParams({ fingerprint: 'ab12-cd34', label }).toString()
    const answer = await sendBytes(control.path, 'POST', `/v1/sys/enroll/approve?${query}`, 'request')
    expect([...answer.body]).toEqual([1, 2, 3])
    const facts = String(answer.headers[FACTS_HEADER])
    expect(facts).toMatch(/^[\x20-\x7e]+$/)
    expect(decodeFacts(OPERATIONS.approveEnrolment.answer.facts, facts)).toMatchObject({ member: { label } })
    expect(control.asked).toEqual([
      ['approveEnrolment', { bytes: 'request', fingerprint: 'ab12-cd34', label, caller: unknownCaller }],
    ])
  })
})
