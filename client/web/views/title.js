// The name of the tab: who sounds, for a page that is behind others. Knows the state only.

import { list, words } from '../format.js'
import { soundingNow } from '../state.js'

export function mount(document) {
  const name = document.title

  return {
    update(state) {
      const sounding = soundingNow(state).map(({ label }) => words(label))
      const title = sounding.length > 0 ? `${list(sounding)} – ${name}` : name
      if (document.title !== title) document.title = title
    },
  }
}
