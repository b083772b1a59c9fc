// The service's plain HTTP requests: what it knows, and its own microphones. Knows addresses and the shape of
// an error; nothing of the state or the DOM.

import * as access from './access.js'

export class ServiceError extends Error {}

/** The service wants a token, or another one. */
export class NotLetIn extends ServiceError {}

export const info = () => request('v1/info')
export const sources = () => request('v1/sources')
export const addSource = (spec) => request('v1/sources', { method: 'POST', body: spec })
export const changeSource = (id, patch) =>
  request(`v1/sources/${encodeURIComponent(id)}`, { method: 'PATCH', body: patch })
export const removeSource = (id) => request(`v1/sources/${encodeURIComponent(id)}`, { method: 'DELETE' })

export const neuron = (index) => request(`v1/neurons/${index}`)
export const history = (query) => request(`v1/history?${query}`)
export const summary = (query) => request(`v1/history/summary?${query}`)
export const correct = (id, label) => request(`v1/history/${id}/correction`, { method: 'POST', body: { label } })
export const clip = (id) => blob(`v1/clips/${id}.flac`)
export const exported = (query) => blob(`v1/history?${query}`)

async function blob(path) {
  const response = await asked(path, { headers: access.headers() })
  if (!response.ok) answer(response.status, await response.text())
  return response.blob()
}

async function asked(path, options) {
  try {
    return await fetch(path, options)
  } catch {
    throw new ServiceError('The server does not answer.')
  }
}

async function request(path, { method = 'GET', body } = {}) {
  const response = await asked(path, {
    method,
    headers: { ...(body && { 'Content-Type': 'application/json' }), ...access.headers() },
    body: body && JSON.stringify(body),
  })
  if (response.status === 204) return null
  return answer(response.status, await response.text())
}

/** The parsed body of an answer, or its error as a ServiceError with the server's own sentence. */
export function answer(status, text) {
  let body
  try {
    body = JSON.parse(text)
  } catch {
    throw new ServiceError(`The server answered ${status} with something that is not JSON.`)
  }
  if (status >= 200 && status < 300) return body
  const Kind = status === 401 ? NotLetIn : ServiceError
  throw new Kind(body.error?.message ?? `The server answered ${status}.`)
}
