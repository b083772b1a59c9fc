// The line at the foot: connection, latency, lag, lost sound, and the model that listens. Knows the state only.

import { duration } from '../format.js'
import { latency } from '../state.js'

/** The connection in words. `now` is Date.now(). */
export function connection({ link, microphone, sourceState }, now) {
  switch (link.phase) {
    case 'connecting':
      return link.attempt > 0 ? `Connecting again (attempt ${link.attempt + 1}) …` : 'Connecting …'
    case 'live':
      if (sourceState && sourceState.state !== 'healthy') return `Connected; the microphone is ${sourceState.state}`
      return microphone.device ? `Connected, ${microphone.device}` : 'Connected'
    case 'stopping':
      return 'Ending the session …'
    case 'waiting':
      return `Connection lost. Next attempt in ${Math.max(1, Math.ceil((link.retryAt - now) / 1000))} s`
    case 'failed':
      return 'The server ended the session'
    default:
      return 'Not connected'
  }
}

export function mount(root, { onRetry, again }) {
  const part = (id) => root.querySelector(id)
  const [lamp, link, retry, delay, lag, dropped, model] = ['.lamp', '#link', '#retry', '#latency', '#lag', '#dropped', '#model'].map(part)
  retry.addEventListener('click', onRetry)
  let timer = null

  return {
    update(state) {
      const { phase } = state.link
      lamp.dataset.phase = phase
      retry.hidden = phase !== 'waiting'
      put(link, connection(state, Date.now()))
      clearTimeout(timer)
      if (phase === 'waiting') timer = setTimeout(again, 1000) // the countdown

      const { health } = state
      const answer = latency(state)
      put(delay, answer ? `Answers in ${duration(answer.algorithmMs + answer.serverMs)} (${duration(answer.algorithmMs)} + ${duration(answer.serverMs)})` : '')
      put(lag, health.lagMs === null ? '' : `Lag ${duration(health.lagMs)}`)
      const lost = [
        health.unheardMs > 0 ? `${duration(health.unheardMs)} not sent` : '',
        health.droppedMs > 0 ? `${duration(health.droppedMs)} dropped` : '',
        health.gaps > 0 ? `${health.gaps} ${health.gaps === 1 ? 'gap' : 'gaps'}` : '',
      ].filter(Boolean)
      put(dropped, lost.length > 0 ? lost.join(', ') : phase === 'live' ? 'Nothing lost' : '')
      dropped.dataset.bad = lost.length > 0
      put(model, state.model ? `Model ${state.model.id}` : '')
    },
  }
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
