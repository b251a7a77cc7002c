import * as v from 'valibot'

export const ceremonyView = v.object({
  seal: v.string(),
  setLabel: v.string(),
  threshold: v.pipe(v.number(), v.description('how many shares it takes')),
  count: v.pipe(v.number(), v.description('how many there are')),
  entered: v.pipe(v.array(v.number()), v.description('numbers of the shares that are in')),
  nonce: v.pipe(v.string(), v.description('of this attempt; empty before the first share')),
  complete: v.boolean(),
})

export const ceremoniesView = v.object({ ceremonies: v.array(ceremonyView) })

export const resetView = v.object({ ceremony: v.optional(ceremonyView) })

export const rehearsalView = v.object({
  seal: v.string(),
  setLabel: v.string(),
  threshold: v.number(),
  shares: v.array(
    v.object({
      index: v.number(),
      right: v.boolean(),
      fault: v.optional(
        v.pipe(v.object({ code: v.string(), message: v.string() }), v.description('why it does not count')),
      ),
    }),
  ),
  quorum: v.pipe(v.boolean(), v.description('these shares would open the seal')),
})

/** How far the collecting of shares is. Answer of `POST /v1/sys/unseal`. */
export type CeremonyView = v.InferOutput<typeof ceremonyView>
/** Answer of `GET /v1/sys/unseal`. */
export type CeremoniesView = v.InferOutput<typeof ceremoniesView>
/** Answer of `POST /v1/sys/unseal/reset`. */
export type ResetView = v.InferOutput<typeof resetView>
/** Answer of `POST /v1/sys/rehearse`. */
export type RehearsalView = v.InferOutput<typeof rehearsalView>
