/** Work on an iterable in groups: reads ahead, keeps the order, and closes the source at the end. */

/**
 * @template Item, Taken, Result
 * @typedef {object} Plan
 * @property {number} size items in a group
 * @property {number} weight what the items of a group weigh at most together, but for the last of them
 * @property {number} groups how many are worked on at a time, or wait for the consumer
 * @property {AbortSignal} [signal] ends all at once
 * @property {(item: Item, index: number) => Taken} take checks an item as it is read
 * @property {(taken: Taken) => number} weigh
 * @property {(group: Taken[]) => Promise<Result[]>} work
 */

/** @param {unknown} value @returns {value is PromiseLike<any>} */
const isThenable = (value) => typeof value === 'object' && value !== null && 'then' in value

/**
 * Yields what `work` makes of each item, in order.
 *
 * A group is worked on when it is full, and before that when the source has nothing more to give at the moment: so a
 * file goes through in full groups, and a slow source is answered line by line. What is wrong with an item, or ends the
 * source, is thrown after the results of all items before it.
 *
 * @template Item, Taken, Result
 * @param {Iterator<Item> | AsyncIterator<Item>} iterator
 * @param {Plan<Item, Taken, Result>} plan
 */
async function* inGroups(iterator, { size, weight, groups, signal, take, weigh, work }) {
  /** @type {{ results: Promise<Result[]>, settled: boolean }[]} groups that are worked on, the oldest first */
  const pending = []
  /** @type {Taken[]} what was read, and is not worked on yet */
  let group = []
  let weighs = 0
  let index = 0
  /** Whether the source may give more, a read is under way, and no more is to be read. */
  let [open, reading, ended] = [true, false, false]
  /** @type {{ error: unknown } | undefined} */
  let failure
  /** @type {NodeJS.Immediate | undefined} comes when all that the source has ready was read */
  let pause
  /** Ends the wait of the loop below: something has changed. */
  let wake = () => {}

  const end = (/** @type {{ error: unknown }} */ reason) => {
    ended = true
    failure ??= reason
  }
  const accept = (/** @type {IteratorResult<Item>} */ step) => {
    let next
    try {
      if (typeof step !== 'object' || step === null) throw new TypeError(`the source gave ${step} instead of an object`)
      next = { done: step.done, value: step.value }
    } catch (error) {
      return broken(error)
    }
    reading = false
    if (next.done) open = false
    if (next.done || ended) ended = true
    else {
      try {
        const taken = take(next.value, index++)
        weighs += weigh(taken)
        group.push(taken)
      } catch (error) {
        end({ error })
      }
    }
    wake()
  }
  const broken = (/** @type {unknown} */ error) => {
    reading = open = false
    end({ error })
    wake()
  }
  /** Reads one item; one that cannot be had at once arrives by itself. */
  const read = () => {
    try {
      const step = iterator.next()
      reading = true
      if (isThenable(step)) step.then(accept, broken)
      // As `for await` does with a promise in an array.
      else if (!step.done && isThenable(step.value)) step.value.then((value) => accept({ done: false, value }), broken)
      else accept(step)
    } catch (error) {
      broken(error)
    }
  }
  const flush = () => {
    clearImmediate(pause)
    pause = undefined
    const entry = { results: work(group), settled: false }
    const settle = () => {
      entry.settled = true
      wake()
    }
    entry.results.then(settle, settle)
    pending.push(entry)
    group = []
    weighs = 0
  }
  const full = () => group.length === size || weighs >= weight
  const aborted = () => wake()
  signal?.addEventListener('abort', aborted)
  try {
    for (;;) {
      if (signal?.aborted) throw signal.reason
      while (!ended && !reading && !full() && pending.length < groups) read()
      if (full() || (ended && group.length > 0)) {
        flush()
        continue
      }
      if (pending[0]?.settled) {
        const [{ results }] = pending.splice(0, 1)
        for (const result of await results) {
          if (signal?.aborted) throw signal.reason
          yield result
        }
        continue
      }
      if (ended && pending.length === 0) break
      if (group.length > 0) {
        pause ??= setImmediate(() => {
          if (group.length > 0) flush()
          wake()
        })
      }
      await new Promise((resolve) => {
        wake = () => resolve(undefined)
      })
    }
  } catch (error) {
    // As `for await` does: what goes wrong while the source is closed does not hide this.
    failure = { error }
  } finally {
    ended = true
    clearImmediate(pause)
    signal?.removeEventListener('abort', aborted)
    if (open) {
      const closed = (async () => iterator.return?.())()
      closed.catch(() => {})
      // In the middle of a read it may never answer, and who aborts does not wait.
      if (!reading && !signal?.aborted && !failure) await closed
    }
  }
  if (failure) throw failure.error
}

module.exports = { inGroups }
