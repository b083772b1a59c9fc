// Following one of the server's own microphones: ask for it, subscribe to what it hears, let it go again. Knows the
// requests and their order; nothing of the DOM.

import * as access from './access.js'
import * as service from './service.js'
import { Link, address } from './socket.js'

export class Following {
  constructor({ dispatch, onFrames }) {
    this.dispatch = dispatch
    this.onFrames = onFrames
    this.link = null
    this.id = null // of the source that is followed
    this.ours = false // this page opened it, so it ends with this page's interest
  }

  /** Ask which microphones the server has and which of them it already listens to. */
  async look() {
    await this.#attempt(async () => {
      const { sources, devices, problem } = await service.sources()
      this.dispatch({ type: 'sources', sources, devices, problem: problem && problem.message })
      if (this.id !== null && !sources.some((source) => source.id === this.id)) {
        this.#unfollow()
        this.dispatch({
          type: 'sources',
          problem: 'The server no longer listens to this microphone. Press Listen again.',
        })
      }
    })
  }

  /** choice: {source: id} of one that runs, or {device: name or null}, to be opened. */
  async start(choice) {
    await this.#attempt(async () => {
      this.ours = choice.source === undefined
      this.id = this.ours ? (await service.addSource(choice.device)).id : choice.source
      this.link = new Link({
        url: address(`v1/events?source=${encodeURIComponent(this.id)}`, document.baseURI),
        subprotocols: () => access.subprotocols('listen'),
        hello: null,
        tell: (message) => this.#hear(message),
        onFrames: this.onFrames,
      })
      this.dispatch({ type: 'sources', following: this.id, ours: this.ours, problem: null })
    })
  }

  /** Stop following; a microphone that this page opened is closed, another one goes on for the others. */
  async stop() {
    if (this.ours) return this.close()
    if (this.id === null) return
    this.#unfollow()
    await this.look()
  }

  /** Stop following, and close the server's microphone for everyone. */
  async close() {
    if (this.id === null) return
    const id = this.id
    this.#unfollow()
    await this.#attempt(() => service.removeSource(id))
    await this.look()
  }

  retryNow() {
    this.link.retryNow()
  }

  #unfollow() {
    this.id = null
    this.ours = false
    this.link.stop()
    this.dispatch({ type: 'sources', following: null, ours: false })
  }

  /** A server that was started anew knows nothing of the source: after each (re)connection, look whether it is there. */
  #hear(message) {
    this.dispatch(message)
    if (message.type === 'link' && message.phase === 'live') this.look()
  }

  async #attempt(action) {
    try {
      await action()
    } catch (error) {
      if (!(error instanceof service.ServiceError)) throw error
      this.dispatch({ type: 'sources', problem: error.message })
    }
  }
}
