import * as v from 'valibot'

// Answers are read with `v.object`, which ignores fields it does not know: sealctl and the agent may differ in version.

/** ISO 8601 in UTC. */
export const isoTime = v.pipe(v.string(), v.isoTimestamp())

export const placeView = v.object({
  seal: v.pipe(v.string(), v.description('name of the seal')),
  memberId: v.pipe(v.string(), v.description('16 bytes in hex')),
  label: v.string(),
})

/** A member of a seal, by its names. */
export type PlaceView = v.InferOutput<typeof placeView>
