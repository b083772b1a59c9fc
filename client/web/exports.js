// Events in the forms that other programs read, as the service writes them (server/formats.py): JSON, CSV, Audacity labels,
// JAMS. Pure. A test holds them against the service's own.

const COLUMNS = ['label', 'onset_ms', 'offset_ms', 'score', 'peak', 'threshold', 'reason', 'source', 'event_id', 'model']

export const FORMS = {
  json: { name: 'JSON', type: 'application/json', extension: 'json' },
  csv: { name: 'CSV', type: 'text/csv', extension: 'csv' },
  audacity: { name: 'Audacity', type: 'text/plain', extension: 'txt' },
  jams: { name: 'JAMS', type: 'application/vnd.jams+json', extension: 'jams' },
}

/** file: {events, summary, name}; events that have ended, of one recording. tools: name and version of the service. */
export function written(form, file, tools) {
  const events = [...file.events].sort((a, b) => a.onset_sample - b.onset_sample)
  if (form === 'csv') return csv(events)
  if (form === 'audacity') return events.map(audacity).join('')
  if (form === 'jams') return jams(events, file, tools)
  return `${JSON.stringify({ events, summary: file.summary }, null, 1)}\n`
}

export function csv(events) {
  const cell = (value) => {
    const text = value === null || value === undefined ? '' : String(value)
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return [COLUMNS, ...events.map((event) => COLUMNS.map((column) => event[column]))]
    .map((row) => `${row.map(cell).join(',')}\r\n`)
    .join('')
}

function audacity({ onset_ms: on, offset_ms: off, label }) {
  return `${(on / 1000).toFixed(6)}\t${(off / 1000).toFixed(6)}\t${label.split(/\s+/).join(' ')}\n`
}

function jams(events, { name, summary }, tools) {
  const duration = summary.audio_ms / 1000
  const micro = (ms) => Math.round(1000 * ms) / 1e6
  const data = events.map(({ onset_ms: on, offset_ms: off, label, peak }) => ({
    time: micro(on),
    duration: micro(off - on),
    value: label,
    confidence: peak,
  }))
  const metadata = {
    curator: { name: '', email: '' },
    annotator: events.length > 0 ? { model: events[0].model } : {},
    version: '',
    corpus: '',
    annotation_tools: tools,
    annotation_rules: '',
    validation: '',
    data_source: 'program',
  }
  const annotation = { annotation_metadata: metadata, namespace: 'tag_open', data, sandbox: {}, time: 0, duration }
  const about = { title: name, artist: '', release: '', duration, identifiers: {}, jams_version: '0.3.5' }
  return JSON.stringify({ annotations: [annotation], file_metadata: about, sandbox: {} })
}

/** Give the reader a text as a file. */
export function download(text, name, type) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}
