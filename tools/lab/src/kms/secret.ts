import { readSecret } from '@sealwright/testing-kms'
import { LabError } from '../errors.ts'
import { type KmsWorld } from './world.ts'

/** The Secret that is looked at all the way. Its value is no secret: whoever reads this is to find it, or not, in a dump. */
export const SECRET = { name: 'database', value: 'a word that only the API server may say' } as const

/** Whether each of these nodes gives the Secret back as it was written. */
export async function isIntact(nodes: KmsWorld['nodes']): Promise<boolean> {
  const values = await Promise.all(nodes.map(({ api }) => readSecret(api, SECRET.name)))
  return values.every(value => value === SECRET.value)
}

/** Makes sure of it. */
export async function expectSecret(nodes: KmsWorld['nodes']): Promise<void> {
  if (!(await isIntact(nodes))) throw new LabError(`Secret ${SECRET.name} reads as something else`)
}
