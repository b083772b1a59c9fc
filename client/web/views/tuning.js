// The thresholds of one label, under its lane: two sliders and a switch, what the engine uses beside what the reader wants.
// Knows rules; nothing of pictures.

import { percent, words } from '../format.js'

const STEP = 0.01

/** The other threshold, moved out of the way: on lies above off. changed: `on` or `off`. */
export function apart(rules, changed) {
  const round = (value) => Number(value.toFixed(2))
  let on = Math.min(1 - STEP, Math.max(2 * STEP, rules.on))
  let off = Math.min(1 - 2 * STEP, Math.max(STEP, rules.off))
  if (off > on - STEP) {
    if (changed === 'on') off = on - STEP
    else on = off + STEP
  }
  return { on: round(on), off: round(off) }
}

/** onRules({on, off} or null for the model's own), onDetect(boolean). */
export function tuning(label, { onRules, onDetect }) {
  const root = document.createElement('li')
  root.className = 'tuning'
  root.dataset.family = label.family
  root.id = `tune-${label.name}`
  const field = (kind, text) => {
    const box = document.createElement('label')
    const input = document.createElement('input')
    const figure = document.createElement('output')
    const name = document.createElement('span')
    name.textContent = text
    Object.assign(input, { type: 'range', min: STEP, max: 1 - STEP, step: STEP })
    input.setAttribute('aria-label', `${words(label.name)} ${text}`)
    input.addEventListener('input', () => {
      const rules = apart({ on: Number(on.input.value), off: Number(off.input.value) }, kind)
      onRules(rules)
    })
    box.append(name, input, figure)
    root.append(box)
    return { input, figure }
  }
  const on = field('on', 'on from')
  const off = field('off', 'off under')
  const box = document.createElement('label')
  const detect = document.createElement('input')
  detect.type = 'checkbox'
  detect.addEventListener('change', () => onDetect(detect.checked))
  box.append(detect, ` listen for ${words(label.name)}`)
  const back = document.createElement('button')
  back.type = 'button'
  back.className = 'plain'
  back.textContent = 'The model’s own'
  back.addEventListener('click', () => onRules(null))
  const note = document.createElement('span')
  note.className = 'tuning-note'
  note.setAttribute('role', 'status')
  root.append(box, back, note)

  return {
    root,
    /** rules: wanted; detected: is it asked for; own: no rule of the reader's; pending: the engine has not answered. */
    update({ rules, detected, own, pending }) {
      for (const [field, score] of [
        [on, rules.on],
        [off, rules.off],
      ]) {
        if (Number(field.input.value) !== score) field.input.value = score
        put(field.figure, percent(score))
      }
      detect.checked = detected
      back.disabled = own
      put(note, pending ? 'asking the engine …' : '')
    },
  }
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
