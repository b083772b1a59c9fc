// The history of a day: its glance, its events page by page, clips, corrections, exports. Knows requests and days; what is
// shown is in the state.

import { ServiceError } from './service.js'
import * as service from './service.js'
import { decode } from './sound.js'

const PAGE = 50

/** The first moment of a day and of the next one in the reader's own zone, ISO 8601; of an hour of it where one is given. */
export function span(day, hour = null) {
  const [year, month, date] = day.split('-').map(Number)
  const from = new Date(year, month - 1, date, hour ?? 0)
  const to = hour === null ? new Date(year, month - 1, date + 1) : new Date(year, month - 1, date, hour + 1)
  return { from: from.toISOString(), to: to.toISOString() }
}

/** The day `steps` after another: 2026-03-01, -1 -> 2026-02-28. */
export function dayAfter(day, steps) {
  const [year, month, date] = day.split('-').map(Number)
  return dayOf(new Date(year, month - 1, date + steps))
}

/** A moment's day in the reader's own zone. */
export function dayOf(moment) {
  const two = (value) => String(value).padStart(2, '0')
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`
}

/** The parameters of a request for what the reader looks at. */
export function asked({ day, hour, label, source }, more = {}) {
  const given = { ...span(day, hour), label, source, ...more }
  return new URLSearchParams(Object.entries(given).filter(([, value]) => value !== '' && value !== null))
}

export class Past {
  /** view(): `state.then` now. dispatch: as for the state. onSound(id, sound or null, blob): a clip is there. */
  constructor({ view, dispatch, onSound }) {
    this.view = view
    this.dispatch = (change) => dispatch({ type: 'then', ...change })
    this.notice = (text) => dispatch({ type: 'notice', text })
    this.onSound = onSound
    this.turn = 0 // of the newest request: older answers are not wanted
  }

  /** Look at something else: any of day, hour, label, source. */
  async look(change) {
    this.dispatch({ day: this.view().day ?? dayOf(new Date()), ...change, next: null, loading: true, problem: null })
    const turn = ++this.turn
    const then = this.view()
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
    try {
      const [glance, page] = await Promise.all([
        service.summary(asked({ ...then, hour: null, label: '' }, { by: 'hour', zone })),
        service.history(asked(then, { limit: PAGE })),
      ])
      if (turn === this.turn) this.dispatch({ glance, events: page.events, next: page.next, loading: false })
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      if (turn === this.turn) this.dispatch({ problem: error.message, events: [], next: null, glance: null, loading: false })
    }
  }

  /** The following page. */
  async more() {
    const then = this.view()
    if (then.next === null) return // another choice is being looked for
    const turn = ++this.turn
    await this.#attempt(async () => {
      const page = await service.history(asked(then, { limit: PAGE, cursor: then.next }))
      if (turn === this.turn) this.dispatch({ events: [...this.view().events, ...page.events], next: page.next })
    })
  }

  async open(id) {
    this.dispatch({ open: id })
    this.onSound(id, null, null)
    const event = this.view().events.find((one) => one.event_id === id)
    if (!event?.clip) return
    await this.#attempt(async () => {
      const blob = await service.clip(id)
      const sound = await decode(blob, (1000 * event.clip.samples) / event.sample_rate)
      if (this.view().open === id) this.onSound(id, sound, blob)
    })
  }

  /** What an event really was: a label, or null for nothing that has a name. */
  async correct(id, label) {
    await this.#attempt(async () => {
      const { correction } = await service.correct(id, label)
      const events = this.view().events.map((event) => (event.event_id === id ? { ...event, correction } : event))
      this.dispatch({ events })
    })
  }

  /** Everything that the reader looks at, as a file: a Blob, or null where it failed. */
  async export(format) {
    let blob = null
    await this.#attempt(async () => {
      blob = await service.exported(asked(this.view(), { format }))
    })
    return blob
  }

  async #attempt(action) {
    try {
      await action()
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      this.notice(error.message)
    }
  }
}
