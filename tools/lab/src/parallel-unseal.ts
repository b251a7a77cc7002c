import { tellParallelStory, type ParallelFigures } from './parallel/story.ts'
import { createWorld, type World } from './parallel/world.ts'
import { type Story } from './run-story.ts'
import { renderParallelProof } from './table.ts'

const NODE_NAMES = ['node-a', 'node-b', 'node-c'] as const

/** The story of the RFC "Parallel Unseal of OpenBao". */
export const parallelStory: Story<World, ParallelFigures> = {
  title: path =>
    `Parallel Unseal: three nodes with a TPM each, a PKCS#11 token, another OpenBao, and shares (${path}); about two minutes`,
  createWorld: async ({ folder }) => await createWorld(folder, NODE_NAMES),
  tell: async (world, { folder, onStep, signal }) => await tellParallelStory({ world, folder, onStep, signal }),
  renderProof: renderParallelProof,
}
