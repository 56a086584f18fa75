/** Work on an iterable in groups: reads ahead, keeps the order, and closes the source at the end. */

/**
 * @template Item, Taken, Result
 * @typedef {object} Plan
 * @property {number} size items in a group
 * @property {number} groups how many are worked on at a time, or wait for the consumer
 * @property {AbortSignal} [signal] ends all at once
 * @property {(item: Item, index: number) => Taken} take checks an item as it is read
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
async function* inGroups(iterator, { size, groups, signal, take, work }) {
  /** @type {{ results: Promise<Result[]>, settled: boolean }[]} groups that are worked on, the oldest first */
  const pending = []
  /** @type {Taken[]} what was read, and is not worked on yet */
  let group = []
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
  const accept = (/** @type {IteratorResult<Item>} */ { done, value }) => {
    reading = false
    if (done) open = false
    if (done || ended) ended = true
    else {
      try {
        group.push(take(value, index++))
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
      else if (!step.done && isThenable(step.value)) step.value.then((value) => accept({ value }), broken)
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
  }
  const aborted = () => wake()
  signal?.addEventListener('abort', aborted)
  try {
    for (;;) {
      while (!ended && !reading && group.length < size && pending.length < groups) read()
      if (group.length === size || (ended && group.length > 0)) flush()
      if (signal?.aborted) throw signal.reason
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
    if (failure) throw failure.error
  } finally {
    ended = true
    clearImmediate(pause)
    signal?.removeEventListener('abort', aborted)
    if (open) await close(iterator, reading)
  }
}

/**
 * Tells a source that nobody wants more. Waits for it, unless it is in the middle of a read, which may never end.
 *
 * @param {Iterator<unknown> | AsyncIterator<unknown>} iterator
 * @param {boolean} reading
 */
async function close(iterator, reading) {
  const closed = (async () => iterator.return?.())()
  if (!reading) await closed
  // Nobody is left to be told.
  else closed.catch(() => {})
}

module.exports = { inGroups }
