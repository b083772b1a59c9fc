// The files that the reader gave: sent one after the other, their sound decoded for the pictures. Knows requests and their
// order; what is shown is in the state.

import { ServiceError } from './service.js'
import { decode } from './sound.js'
import { classify } from './upload.js'

export class Files {
  /** dispatch: as for the state. onSound(id): the sound of a file is there, or is known not to come. */
  constructor({ dispatch, onSound }) {
    this.dispatch = dispatch
    this.onSound = onSound
    this.files = new Map() // id -> File
    this.sounds = new Map() // id -> Sound, or null where there is none
    this.next = 1
    this.queue = []
    this.busy = false
  }

  /** Hear these too. Returns the id of the first. */
  add(files) {
    const added = [...files].map((file) => ({ id: `f${this.next++}`, file }))
    for (const { id, file } of added) this.files.set(id, file)
    this.dispatch({ type: 'files', added: added.map(({ id, file }) => ({ id, name: file.name, size: file.size })) })
    this.queue.push(...added)
    this.#work()
    return added[0]?.id
  }

  remove(id) {
    this.queue = this.queue.filter((waiting) => waiting.id !== id)
    this.files.delete(id)
    this.sounds.delete(id)
    this.dispatch({ type: 'file_removed', id })
  }

  async #work() {
    if (this.busy) return
    this.busy = true
    for (let one = this.queue.shift(); one; one = this.queue.shift()) await this.#hear(one)
    this.busy = false
  }

  async #hear({ id, file }) {
    const tell = (change) => this.dispatch({ type: 'file', id, ...change })
    tell({ phase: 'sending', share: 0 })
    try {
      const { events, summary } = await classify(file, (share) =>
        tell({ phase: share < 1 ? 'sending' : 'hearing', share }),
      )
      tell({ phase: 'done', events, summary })
      this.sounds.set(id, await decode(file, summary.audio_ms))
      this.onSound(id)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      tell({ phase: 'failed', problem: error.message })
    }
  }
}
