import * as v from 'valibot'
import { memberView } from './seals.ts'

export const initialisedView = v.object({
  clusterId: v.pipe(v.string(), v.description('16 bytes in hex; stands on every share')),
  member: v.pipe(memberView, v.description('a set of shares has no records before it is confirmed')),
})

export const confirmedView = v.object({ member: memberView })

export const enrolmentView = v.object({ member: memberView })

export const importView = v.object({
  revision: v.number(),
  changed: v.pipe(v.boolean(), v.description('whether there was anything new in it')),
})

/** Facts beside the answer of `POST /v1/sys/init/:name`. */
export type InitialisedView = v.InferOutput<typeof initialisedView>
/** Answer of `POST /v1/sys/init/:name/confirm`. */
export type ConfirmedView = v.InferOutput<typeof confirmedView>
/** Facts beside the answer of `POST /v1/sys/enroll/approve`. */
export type EnrolmentView = v.InferOutput<typeof enrolmentView>
/** Answer of `PUT /v1/sys/keyring`. */
export type ImportView = v.InferOutput<typeof importView>
