// Plays the chosen file and tells where it is. Knows the audio element; nothing of events or lanes.

export class Player {
  constructor(audio, dispatch) {
    this.audio = audio
    this.dispatch = dispatch
    this.url = null
    audio.addEventListener('play', () => this.#follow())
    for (const happening of ['pause', 'ended', 'seeked']) audio.addEventListener(happening, () => this.#tell())
    audio.addEventListener('error', () => {
      if (this.url)
        dispatch({
          type: 'player',
          playing: false,
          problem: 'This browser cannot play this kind of file; the timeline is right all the same.',
        })
    })
  }

  /** Play this file next; none: nothing. */
  load(file) {
    this.audio.pause()
    if (this.url) URL.revokeObjectURL(this.url)
    this.url = file ? URL.createObjectURL(file) : null
    if (file) this.audio.src = this.url
    else this.audio.removeAttribute('src')
  }

  async toggle() {
    if (!this.audio.paused) return this.audio.pause()
    try {
      await this.audio.play()
    } catch (error) {
      if (error.name !== 'AbortError')
        this.dispatch({ type: 'player', playing: false, problem: `The file cannot be played: ${error.message}` })
    }
  }

  pause() {
    this.audio.pause()
  }

  seek(ms) {
    this.audio.currentTime = ms / 1000
    this.#tell()
  }

  /** While it plays, the position once for each picture. */
  #follow() {
    this.#tell()
    if (!this.audio.paused) requestAnimationFrame(() => this.#follow())
  }

  #tell() {
    this.dispatch({
      type: 'player',
      playing: !this.audio.paused,
      positionMs: 1000 * this.audio.currentTime,
      problem: null,
    })
  }
}
