// The line at the foot: connection, latency, lag, lost sound, and the model that listens. Knows the state only.

import { duration } from '../format.js'
import { latency } from '../state.js'

/** The connection in words, without the countdown: these are read aloud. */
export function connection({ link, microphone, sourceState }) {
  switch (link.phase) {
    case 'connecting':
      return link.attempt > 0 ? `Connecting again (attempt ${link.attempt + 1}) …` : 'Connecting …'
    case 'live':
      if (sourceState && sourceState.state !== 'healthy')
        return `The server’s microphone is ${sourceState.state}: ${sourceState.detail}`
      return microphone.device ? `Connected, ${microphone.device}` : 'Connected'
    case 'stopping':
      return 'Ending the session …'
    case 'waiting':
      return link.detail
    case 'failed':
      return 'The server ended the session'
    default:
      return 'Not connected'
  }
}

/** How long until the next attempt, or nothing. `now` is Date.now(). */
export function countdown({ link }, now) {
  return link.phase === 'waiting' ? `next attempt in ${Math.max(1, Math.ceil((link.retryAt - now) / 1000))} s` : ''
}

export function mount(root, { onRetry, again }) {
  const part = (id) => root.querySelector(id)
  const [lamp, link, wait, retry] = ['.lamp', '#link', '#wait', '#retry'].map(part)
  const [delay, lag, dropped, model] = ['#latency', '#lag', '#dropped', '#model'].map(part)
  retry.addEventListener('click', onRetry)
  let timer = null

  return {
    update(state) {
      const { phase } = state.link
      lamp.dataset.phase = phase
      retry.hidden = phase !== 'waiting'
      put(link, connection(state))
      put(wait, countdown(state, Date.now()))
      clearTimeout(timer)
      if (phase === 'waiting') timer = setTimeout(again, 1000) // the countdown

      const { health } = state
      const answer = latency(state)
      put(delay, answer ? told(answer) : '')
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

/** Whole milliseconds that add up for the reader. */
function told({ algorithmMs, serverMs }) {
  const [algorithm, server] = [Math.round(algorithmMs), Math.round(serverMs)]
  return `Answers in ${duration(algorithm + server)} (${duration(algorithm)} to be sure, ${duration(server)} on the server)`
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
