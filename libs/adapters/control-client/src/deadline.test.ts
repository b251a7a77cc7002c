import { createDeadline } from './deadline.ts'

describe('a deadline', () => {
  beforeEach(() => jest.useFakeTimers())
  afterEach(() => jest.useRealTimers())

  it('passes, unless progress puts it off', () => {
    const deadline = createDeadline(400)
    jest.advanceTimersByTime(399)
    deadline.extend()
    jest.advanceTimersByTime(399)
    expect(deadline.signal.aborted).toBe(false)
    jest.advanceTimersByTime(1)
    expect(deadline.signal.aborted).toBe(true)
  })

  it('never passes once it was cleared', () => {
    const deadline = createDeadline(400)
    deadline.clear()
    jest.advanceTimersByTime(1_000)
    expect(deadline.signal.aborted).toBe(false)
    expect(jest.getTimerCount()).toBe(0)
  })
})
