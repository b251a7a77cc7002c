/** Choices that look random and are the same in each run. */
export interface SeededRandom {
  pick<T>(choices: readonly T[]): T
  shuffle<T>(items: readonly T[]): readonly T[]
}

/** A linear congruential generator of 32 bits; its high bits are good enough to choose an order. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  const pick = <T>(choices: readonly T[]): T => {
    const choice = choices[below(choices.length)]
    if (choice === undefined) throw new RangeError('nothing to choose from')
    return choice
  }
  return {
    pick,
    shuffle: items =>
      items
        .map(item => ({ item, order: below(2 ** 32) }))
        .sort((a, b) => a.order - b.order)
        .map(({ item }) => item),
  }
}
