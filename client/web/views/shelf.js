// The files that were given: one row each, with its progress and what was found in it. Knows files; nothing of their sound.

import { bytes, duration, list as listed, words } from '../format.js'

const NAMED = 3 // labels in a row

/** What stands beside a file's name. */
export function sentence({ phase, share, size, summary, problem }) {
  switch (phase) {
    case 'waiting':
      return 'waiting'
    case 'sending':
      return `sending ${bytes(size)}, ${Math.round(100 * share)} %`
    case 'hearing':
      return 'hearing …'
    case 'failed':
      return problem
    default: {
      const labels = [...summary.labels].sort((a, b) => b.seconds - a.seconds).map(({ label }) => words(label))
      const more = labels.length > NAMED ? ` and ${labels.length - NAMED} more` : ''
      const found = more ? labels.slice(0, NAMED).join(', ') : listed(labels)
      return `${duration(summary.audio_ms)}: ${found || 'nothing named'}${more}`
    }
  }
}

export function mount(root, { onFiles, onOpen, onRemove }) {
  const list = root.querySelector('ul')
  const hint = root.querySelector('.drop-text')
  const input = root.querySelector('#file')
  const rows = new Map() // id -> {row, open, about, bar, file}
  input.addEventListener('change', () => {
    if (input.files.length > 0) onFiles(input.files)
    input.value = '' // so that the same file can be chosen again
  })

  function add(file) {
    const row = document.createElement('li')
    const [open, remove] = ['button', 'button'].map((tag) => document.createElement(tag))
    const [title, about] = ['strong', 'span'].map((tag) => document.createElement(tag))
    const bar = document.createElement('progress')
    bar.max = 1
    bar.setAttribute('aria-label', `Progress of ${file.name}`)
    open.type = remove.type = 'button'
    open.className = 'shelf-open'
    remove.className = 'plain'
    remove.textContent = 'Remove'
    remove.setAttribute('aria-label', `Remove ${file.name}`)
    title.textContent = file.name
    open.append(title, about)
    open.addEventListener('click', () => onOpen(file.id))
    remove.addEventListener('click', () => onRemove(file.id))
    row.append(open, remove, bar)
    list.append(row)
    return { row, open, about, bar, file: null }
  }

  return {
    update({ files, file: opened, formats }) {
      hint.textContent = `Drop recordings anywhere, or choose them: ${listed(formats.map((one) => one.toUpperCase()))}.`
      for (const [id, { row }] of rows) {
        if (files.some((file) => file.id === id)) continue
        row.remove()
        rows.delete(id)
      }
      for (const file of files) {
        if (!rows.has(file.id)) rows.set(file.id, add(file))
        const one = rows.get(file.id)
        one.open.setAttribute('aria-current', file.id === opened)
        if (one.file === file) continue
        one.file = file
        one.row.dataset.phase = file.phase
        one.about.textContent = sentence(file)
        one.open.disabled = file.phase !== 'done'
        one.bar.hidden = file.phase !== 'sending' && file.phase !== 'hearing'
        if (file.phase === 'sending') one.bar.value = file.share
        else one.bar.removeAttribute('value')
      }
    },
  }
}
