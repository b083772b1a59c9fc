// The token of a service that asks for one: kept for this tab only, shown with each request, and changed for a one-time
// ticket where a WebSocket can carry no header. Knows storage and requests; nothing of the DOM.

const KEY = 'spiccato.token'

export function keep(token) {
  sessionStorage.setItem(KEY, token)
}

export function forget() {
  sessionStorage.removeItem(KEY)
}

/** Headers for a request, without any where no token was given. */
export function headers() {
  const token = sessionStorage.getItem(KEY)
  return token ? { Authorization: `Bearer ${token}` } : {}
}

/** The subprotocols that a WebSocket of this role has to offer: none without a token, or a promise of a fresh ticket's. */
export function subprotocols(role) {
  return sessionStorage.getItem(KEY) ? ticketFor(role) : []
}

async function ticketFor(role) {
  const response = await fetch('v1/tickets', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers() },
    body: JSON.stringify({ role }),
  })
  const body = await response.json()
  if (!response.ok) throw new Error(body.error.message)
  return ['spiccato.v1', `spiccato.ticket.${body.ticket}`]
}
