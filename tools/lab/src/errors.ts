/** Something in the lab's story did not hold. */
export class LabError extends Error {
  override readonly name = 'LabError'
}
