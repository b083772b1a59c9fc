// The list of events, newest onset first, one entry for each event id. Pure. Knows phases and how long to remember;
// nothing of lanes, sockets or the DOM.

export const KEPT = 500

/** The list with `event` (a message of the stream, any phase) in it. */
export function merge(events, event) {
  const at = events.findIndex((known) => known.event_id === event.event_id)
  if (at < 0) return [event, ...events].slice(0, KEPT)
  const next = events.slice()
  next[at] = { ...events[at], ...event }
  return next
}

/** The list with every open event of a session ended here, for `reason`: the server's word on its end never came. */
export function abandon(events, session, reason) {
  if (!events.some((event) => event.session === session && isOpen(event))) return events
  return events.map((event) =>
    event.session === session && isOpen(event) ? { ...event, phase: 'lost', reason } : event,
  )
}

export function isOpen(event) {
  return event.phase === 'onset' || event.phase === 'update'
}

/** The labels that sound now: open events of the list, in order of their onset. */
export function sounding(events) {
  return events
    .filter(isOpen)
    .map((event) => ({ label: event.label, onsetMs: event.onset_ms, event }))
    .reverse()
}

/** The labels that sound at `ms` of a file, in order of their onset. Times are ms in the file. */
export function soundingAt(events, ms) {
  return events
    .filter((event) => event.phase === 'offset' && event.onset_ms <= ms && ms < event.offset_ms)
    .map((event) => ({ label: event.label, onsetMs: event.onset_ms, event }))
    .sort((a, b) => a.onsetMs - b.onsetMs)
}

/** The events of each label, in the order given: Map of label -> [event]. */
export function byLabel(events) {
  const groups = new Map()
  for (const event of events) {
    if (!groups.has(event.label)) groups.set(event.label, [])
    groups.get(event.label).push(event)
  }
  return groups
}

/** The list as a JSON document, oldest first, in the server's own schema. */
export function toJson(events) {
  return `${JSON.stringify({ events: [...events].reverse() }, null, 2)}\n`
}
