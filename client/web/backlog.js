// Sound that the server has not yet heard, by its index on the session's clock, as framed messages (docs/protocol.md): what is
// kept can be sent again after a lost connection. Knows samples; nothing of sockets.

const HEADER_BYTES = 16
const MAGIC = 0xa5
const VERSION = 1
const DISCONTINUITY = 1

export class Backlog {
  /** limit: samples that are kept; older ones are given up. next: index of the next sample. */
  constructor(limit, next = 0) {
    this.limit = limit
    this.next = next
    this.kept = 0 // samples in the chunks
    this.chunks = [] // {first, end, message}, oldest first
    this.sent = 0 // chunks before this place were sent over this connection
    this.number = 0
  }

  /**
   * Float samples; missing: lost before them; broken: they are not the continuation of the last ones. Returns how many
   * old samples were given up for them.
   */
  add(samples, missing = 0, broken = false) {
    this.next += missing
    const message = new ArrayBuffer(HEADER_BYTES + samples.byteLength)
    const view = new DataView(message)
    view.setUint8(0, MAGIC)
    view.setUint8(1, VERSION)
    view.setUint8(2, broken ? DISCONTINUITY : 0)
    view.setUint32(4, this.number++, true)
    view.setBigUint64(8, BigInt(this.next), true)
    new Float32Array(message, HEADER_BYTES).set(samples)
    const first = this.next
    this.next += samples.length
    this.chunks.push({ first, end: this.next, message })
    this.kept += samples.length
    let given = 0
    while (this.kept > this.limit) given += this.#shift()
    return given
  }

  /** The server has heard everything before `sample`. */
  heard(sample) {
    while (this.chunks.length > 0 && this.chunks[0].end <= sample) this.#shift()
  }

  /** Give `send` each message that was not sent over this connection, until it returns false: that one did not go. */
  flow(send) {
    while (this.sent < this.chunks.length && send(this.chunks[this.sent].message)) this.sent += 1
  }

  /** A new connection goes on with the session: everything that was not heard goes again. */
  rewind(sample) {
    this.heard(sample)
    this.sent = 0
  }

  #shift() {
    const { first, end } = this.chunks.shift()
    this.sent = Math.max(0, this.sent - 1)
    this.kept -= end - first
    return end - first
  }
}
