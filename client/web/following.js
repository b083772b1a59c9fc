// The server's own sources: which there are, following one of them, adding, changing and removing them. Knows the requests
// and their order; nothing of the DOM.

import * as access from './access.js'
import * as service from './service.js'
import { Link, address } from './socket.js'

export class Following {
  constructor({ dispatch, onFrames }) {
    this.dispatch = dispatch
    this.onFrames = onFrames
    this.link = null
    this.id = null // of the source that is followed
    this.ours = false // this page opened it for itself, so it ends with this page's interest
  }

  /** Ask which sources the server has, and which devices it could listen to. */
  async look() {
    try {
      const { sources, devices, problem } = await service.sources()
      this.dispatch({ type: 'sources', sources, devices, problem: problem && problem.message })
      if (this.id !== null && !sources.some((source) => source.id === this.id)) {
        this.#unfollow()
        this.dispatch({ type: 'notice', text: 'The server no longer listens to this source. Press Listen again.' })
      }
    } catch (error) {
      if (!(error instanceof service.ServiceError)) throw error
      this.dispatch({ type: 'sources', problem: error.message }) // a token of another role may not know them
    }
  }

  /** choice: {source: id} of one that runs, or {device: name or null}, to be opened. */
  async start(choice) {
    await this.#attempt(async () => {
      this.ours = choice.source === undefined
      this.id = this.ours
        ? (await service.addSource({ kind: 'microphone', device: choice.device })).id
        : choice.source
      this.link = new Link({
        url: address(`v1/events?source=${encodeURIComponent(this.id)}`, document.baseURI),
        subprotocols: () => access.subprotocols('listen'),
        tell: (message) => this.#hear(message),
        onFrames: this.onFrames,
      })
      this.dispatch({ type: 'sources', following: this.id, problem: null })
    })
  }

  /** Stop following; a source that this page opened by Listen is closed, another one goes on for the others. */
  async stop() {
    if (this.id === null) return
    const { id, ours } = this
    this.#unfollow()
    if (ours) await this.#attempt(() => service.removeSource(id))
    await this.look()
  }

  /** spec: as in POST /v1/sources. It runs whether this page is open or not. */
  add(spec) {
    return this.#attempt(async () => {
      await service.addSource(spec)
      await this.look()
    })
  }

  change(id, patch) {
    return this.#attempt(async () => {
      await service.changeSource(id, patch)
      await this.look()
    })
  }

  /** Change what the source that is followed detects. Watchers are told once the engine uses it. */
  async decide(detect) {
    this.dispatch({ type: 'asked', id: this.id })
    try {
      await service.changeSource(this.id, { detect })
      this.dispatch({ type: 'asked', id: null })
    } catch (error) {
      if (!(error instanceof service.ServiceError)) throw error
      this.dispatch({ type: 'configure_failed', errors: [error] })
    }
  }

  remove(id) {
    return this.#attempt(async () => {
      if (id === this.id) this.#unfollow()
      await service.removeSource(id)
      await this.look()
    })
  }

  retryNow() {
    this.link.retryNow()
  }

  #unfollow() {
    this.id = null
    this.ours = false
    this.link.stop()
    this.dispatch({ type: 'sources', following: null })
  }

  /** A server that was started anew knows nothing of the source: after each (re)connection, look whether it is there. */
  #hear(message) {
    this.dispatch(message)
    if (message.type === 'link' && message.phase === 'live') this.look()
  }

  /** Returns whether it went well. */
  async #attempt(action) {
    try {
      await action()
      return true
    } catch (error) {
      if (!(error instanceof service.ServiceError)) throw error
      this.dispatch({ type: 'notice', text: error.message })
      return false
    }
  }
}
