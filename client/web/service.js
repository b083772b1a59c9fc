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

async function request(path, { method = 'GET', body } = {}) {
  let response
  try {
    response = await fetch(path, {
      method,
      headers: { ...(body && { 'Content-Type': 'application/json' }), ...access.headers() },
      body: body && JSON.stringify(body),
    })
  } catch {
    throw new ServiceError('The server does not answer.')
  }
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
