import * as v from 'valibot'
import { placeView } from './places.ts'

const generationView = v.object({
  number: v.number(),
  keyId: v.string(),
  state: v.picklist(['pending', 'active', 'retired']),
  step: v.pipe(
    v.picklist(['chained', 'broken']),
    v.description('whether the key of the generation before leads to this one'),
  ),
  current: v.boolean(),
})

export const generationsView = v.object({ generations: v.array(generationView) })

export const rotationView = v.object({
  generation: v.number(),
  keyId: v.string(),
  wrapped: v.pipe(
    v.array(placeView),
    v.description('members that have a record of the new generation; the others reach it by its link'),
  ),
  dropped: v.pipe(v.array(placeView), v.description('members that were removed, as was asked')),
})

export const retirementView = v.object({
  retired: v.array(generationView),
  kept: v.pipe(v.array(generationView), v.description('those that the snapshot, or a member, still needs')),
})

/** A generation of the seal key. */
export type GenerationView = v.InferOutput<typeof generationView>
/** Answer of `GET /v1/sys/generations`. */
export type GenerationsView = v.InferOutput<typeof generationsView>
/** Answer of `POST /v1/sys/rotate/seal-key` and `POST /v1/sys/members/revoke`. */
export type RotationView = v.InferOutput<typeof rotationView>
/** Answer of `POST /v1/sys/rotate/retire`. */
export type RetirementView = v.InferOutput<typeof retirementView>
