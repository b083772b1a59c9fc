// One connection to the service that comes back by itself, and goes on with its session where the server still has it: the
// one file that touches a socket. Knows phases, back-off and which closes are final; nothing of what the messages mean.
//
// Phases: connecting -> live -> stopping -> idle; a lost connection is `waiting` and then `connecting` again; a close
// that another try would only repeat is `failed`.

const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 10_000
const SPREAD = 0.2 // share by which a wait is spread, so that many pages do not come back at once
const STOP_PATIENCE_MS = 5000 // how long to wait for the summary after `stop`
const QUEUE_S = 2 // audio that may wait in the browser's send buffer; more waits with the caller
const FINAL_CLOSES = new Set([4400, 4401, 4403, 4409, 4413, 4415])
const NOTHING_TO_RESUME = 4404

export function waitMs(attempt, random) {
  const wait = Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS)
  return wait * (1 + SPREAD * (2 * random - 1))
}

/** The WebSocket address of `path`, relative to the page, so that the page works below any path of a proxy. */
export function address(path, base) {
  const url = new URL(path, base)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}

export class Link {
  /**
   * subprotocols(): what to offer on each connection, or a promise of it.
   * hello(): message to send on opening; none for a reader. bytesPerSecond: of the audio that will be sent.
   * tell(message): every text message, parsed, and `link` messages. onFrames(buffer): every binary message.
   */
  constructor({ url, subprotocols = () => [], hello = null, bytesPerSecond = 0, tell, onFrames }) {
    this.url = url
    this.subprotocols = subprotocols
    this.hello = hello
    this.queueBytes = QUEUE_S * bytesPerSecond
    this.tell = tell
    this.onFrames = onFrames
    this.socket = null
    this.attempt = 0 // connections lost in a row
    this.timer = null
    this.fatal = null // the error message that ends this connection
    this.opened = false // this connection was open once
    this.session = null // {id, token, lastSeq} that a new connection can go on with
    this.resuming = false // until the server has said from which sample on
    this.phase = 'idle'
    this.#connect()
  }

  /** Send audio. Returns false where it could not go: no connection, or one that does not keep up. */
  audio(buffer) {
    if (!this.#isOpen() || this.resuming || this.socket.bufferedAmount > this.queueBytes) return false
    this.socket.send(buffer)
    return true
  }

  send(message) {
    if (this.#isOpen()) this.socket.send(JSON.stringify(message))
  }

  /** It may be closing already, before the close is known here. */
  #isOpen() {
    return this.phase === 'live' && this.socket.readyState === WebSocket.OPEN
  }

  /** End the stream in order: `stop`, the last events, the summary. `hello` streams have one; others just close. */
  stop() {
    clearTimeout(this.timer)
    if (this.phase !== 'live' || !this.hello) return this.#close()
    this.send({ type: 'stop' })
    this.#enter('stopping')
    this.timer = setTimeout(() => this.#close(), STOP_PATIENCE_MS)
  }

  /** Do not wait for the next attempt. */
  retryNow() {
    if (this.phase !== 'waiting') return
    clearTimeout(this.timer)
    this.#connect()
  }

  #connect() {
    this.#enter('connecting')
    const offered = this.subprotocols()
    if (Array.isArray(offered)) return this.#open(offered)
    this.socket = null
    offered.then(
      (ticket) => this.phase === 'connecting' && this.#open(ticket),
      (error) => {
        if (this.phase !== 'connecting') return
        if (error instanceof TypeError) return this.#lost(1006, '') // no answer at all: try again
        this.#enter('failed', { detail: error.message })
      },
    )
  }

  #open(offered) {
    const socket = new WebSocket(this.url, offered)
    socket.binaryType = 'arraybuffer'
    this.socket = socket
    this.fatal = null
    this.opened = false
    socket.onopen = () => {
      this.opened = true
      if (this.hello) socket.send(JSON.stringify(this.#greeting()))
      this.#enter('live')
    }
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) return this.onFrames(data)
      this.#take(JSON.parse(data))
    }
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
  }

  #greeting() {
    const { session } = this
    this.resuming = session !== null
    return { ...this.hello(), ...(session && { resume: { token: session.token, last_seq: session.lastSeq } }) }
  }

  #take(message) {
    const { type } = message
    if (type === 'started' || type === 'resumed') {
      this.attempt = 0
      this.resuming = false
    }
    if (type === 'started') {
      this.session = this.hello && message.resume
        ? { id: message.session, token: message.resume.token, lastSeq: message.seq, windowS: message.resume.window_s }
        : null
    } else if (type === 'ready' && this.session) return // of a connection that goes on with another session
    if (this.session && message.session === this.session.id) this.session.lastSeq = message.seq
    if (type === 'error' && message.fatal) this.fatal = message
    if (type === 'summary') this.session = null
    if (type === 'error' && message.code.startsWith('resume_')) return // told by a new session
    this.tell({ ...message, at: performance.now() })
  }

  #lost(code, reason) {
    clearTimeout(this.timer)
    if (this.phase === 'stopping' || code === 1000) return this.#enter('idle')
    if (code === NOTHING_TO_RESUME && this.session) {
      this.session = null
      return this.#connect()
    }
    if (FINAL_CLOSES.has(code) || (this.fatal && !this.fatal.retryable)) {
      return this.#enter('failed', {
        detail: this.fatal?.message ?? (reason || `The server closed with code ${code}.`),
      })
    }
    const wait = waitMs(this.attempt, Math.random())
    this.attempt += 1
    this.timer = setTimeout(() => this.#connect(), wait)
    this.#enter('waiting', {
      retryAt: Date.now() + wait,
      detail: this.opened ? 'Connection lost' : 'The server does not answer',
    })
  }

  #close() {
    if (this.socket) {
      this.socket.onclose = this.socket.onmessage = this.socket.onopen = null
      this.socket.close(1000)
    }
    this.#enter('idle')
  }

  /** kept: the session may go on over the next connection. */
  #enter(phase, more = {}) {
    this.phase = phase
    this.tell({ type: 'link', phase, attempt: this.attempt, kept: this.session !== null, ...more })
  }
}
