/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type EnrolmentErrorCode =
  | 'ENROLMENT_UNSUPPORTED' // a seal that no other node can wrap for
  | 'ENROLMENT_REQUEST_MALFORMED' // not a request of a version we know
  | 'ENROLMENT_NOTHING_PROVEN' // no seal of this node opens what it was just given: nothing was written
  | 'ENROLMENT_OTHER_CLUSTER' // the store of this node belongs to another cluster

/** What letting a node into a cluster throws. Messages are for operators. */
export class EnrolmentError extends Error {
  override readonly name = 'EnrolmentError'
  readonly code: EnrolmentErrorCode

  constructor(code: EnrolmentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
