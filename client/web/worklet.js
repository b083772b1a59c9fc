// Gathers the microphone's samples into chunks on the audio thread. Knows render quanta; nothing of sockets.
// Each message to the page: {first, samples, wallMs}: samples is a Float32Array, first its place on the audio context's
// clock, wallMs the wall clock when they were complete: the context's clock stands while a laptop sleeps.

class Gather extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super()
    this.chunk = new Float32Array(processorOptions.chunkSamples)
    this.filled = 0
    this.next = 0 // the sample after the newest one, on the context's clock
    this.running = true
    this.port.onmessage = () => {
      this.running = false
      this.#give(this.next)
      this.port.postMessage({ ended: true })
    }
  }

  process([input]) {
    const samples = input[0] // mono; missing while nothing is connected
    if (!this.running || !samples) return this.running
    if (this.next !== currentFrame) this.#give(this.next) // time jumped: what came before it is a chunk of its own
    let used = 0
    while (used < samples.length) {
      const take = Math.min(samples.length - used, this.chunk.length - this.filled)
      this.chunk.set(samples.subarray(used, used + take), this.filled)
      this.filled += take
      used += take
      if (this.filled === this.chunk.length) this.#give(currentFrame + used)
    }
    this.next = currentFrame + samples.length
    return true
  }

  /** Hand over what was gathered; `end` is the sample after it. */
  #give(end) {
    if (this.filled === 0) return
    const samples = this.chunk.slice(0, this.filled)
    this.filled = 0
    this.port.postMessage({ first: end - samples.length, samples, wallMs: Date.now() }, [samples.buffer])
  }
}

registerProcessor('gather', Gather)
