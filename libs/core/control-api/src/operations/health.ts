import * as v from 'valibot'
import { type Operation } from '../operation.ts'
import { namedSeal, nothing } from '../request-fields.ts'
import { namedSealStatusView, probeView, statusView } from '../status.ts'

/** What can be asked at any time; nothing of it changes anything. */
export const HEALTH_OPERATIONS = {
  health: {
    method: 'GET',
    path: '/healthz',
    summary: 'The agent runs.',
    answer: { kind: 'json', schema: v.object({ status: v.literal('ok') }) },
    refusals: [],
  },
  readiness: {
    method: 'GET',
    path: '/readyz',
    summary: 'Whether a seal has opened the keyring for real: 200 if so, else 503.',
    answer: { kind: 'json', schema: v.object({ ready: v.boolean() }), otherStatus: 503 },
    refusals: [],
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics as Prometheus reads them.',
    answer: {
      kind: 'text',
      mediaType: 'text/plain',
      what: 'Prometheus text; no label holds a path, address or key id',
    },
    refusals: [],
  },
  openApi: {
    method: 'GET',
    path: '/v1/openapi.json',
    summary: 'This document.',
    answer: { kind: 'json', schema: v.looseObject({ openapi: v.string() }) },
    refusals: [],
  },
  sealStatus: {
    method: 'GET',
    path: '/v1/sys/seal-status',
    summary: 'What the agent knows of itself, of its seals and of the OpenBao beside it; no seal is asked.',
    answer: { kind: 'json', schema: statusView },
    refusals: [],
  },
  namedSealStatus: {
    method: 'GET',
    path: '/v1/sys/seal-status/:name',
    summary: 'How one seal of the configuration of this node is.',
    description:
      'The sets of a Shamir seal are those of the keyring; while the node is sealed, of the one in its store.',
    parameters: namedSeal,
    answer: { kind: 'json', schema: namedSealStatusView },
    refusals: ['CONTROL_SEAL_UNKNOWN', 'STORE_NOT_FOUND'],
  },
  probe: {
    method: 'POST',
    path: '/v1/sys/seals/probe',
    summary: 'Unwraps through every seal of this node now, but for those that wait for an operator.',
    body: { kind: 'json', schema: nothing },
    answer: { kind: 'json', schema: probeView },
    refusals: [],
  },
} as const satisfies Readonly<Record<string, Operation>>
