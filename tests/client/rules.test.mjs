// The rules that every file of the page keeps: text by textContent, one file with sockets, nothing from elsewhere.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const web = fileURLToPath(new URL('../../client/web/', import.meta.url))
const read = (name) => readFileSync(web + name, 'utf8')
const scripts = ['', 'views/'].flatMap((folder) =>
  readdirSync(web + folder)
    .filter((n) => n.endsWith('.js'))
    .map((n) => folder + n),
)
const having = (pattern) => scripts.filter((name) => pattern.test(read(name)))

test('text reaches the page by textContent only', () => {
  assert.deepEqual(having(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function/), [])
})

test('one file opens sockets', () => {
  assert.deepEqual(having(/new (WebSocket|EventSource)/), ['socket.js'])
})

test('the reducer and what it is made of touch no page, socket or clock', () => {
  for (const name of ['state.js', 'eventlog.js', 'frames.js', 'history.js', 'format.js', 'clock.js', 'adsr.js', 'backlog.js']) {
    assert.doesNotMatch(read(name), /document\.|window\.|performance\.now|Date\.now|setTimeout|fetch\(/, name)
  }
})

test('nothing comes from another place, and no script or style stands in the page itself', () => {
  const page = read('index.html')
  assert.doesNotMatch(page, /(src|href)="(https?:)?\/\//)
  assert.doesNotMatch(page, /(src|href)="\//, 'addresses are relative, so that the page works below a path')
  assert.doesNotMatch(page, /<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)/)
  for (const name of readdirSync(web + 'style')) assert.doesNotMatch(read(`style/${name}`), /@import|url\(/, name)
  assert.deepEqual(having(/https?:\/\/(?!$)[a-z]/), [])
})

test('every element that a script asks for by id is in the page', () => {
  const page = read('index.html')
  for (const name of scripts) {
    for (const [, id] of read(name).matchAll(/(?:querySelector|\$|part)\('#([\w-]+)/g)) {
      assert.match(page, new RegExp(`id="${id}"`), `${name} asks for #${id}`)
    }
  }
})
