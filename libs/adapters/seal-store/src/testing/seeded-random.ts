/** Numbers from 0 up to, not including, 1: the same for the same seed. A linear congruential generator. */
export function seededRandom(seed: number): () => number {
  // Multiplier and increment of a full period over 2^32; the high bits are good enough to spread delays.
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
