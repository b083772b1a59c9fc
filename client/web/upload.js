// A file to the service, with the progress of its way there. Knows one request; nothing of the state or the DOM.

import * as access from './access.js'
import { ServiceError, answer } from './service.js'

/** POST a file to v1/classify. onProgress(share of the file sent, 0 to 1). An XMLHttpRequest: fetch tells no progress. */
export function classify(file, onProgress) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest()
    call.open('POST', 'v1/classify')
    for (const [name, value] of Object.entries(access.headers())) call.setRequestHeader(name, value)
    call.upload.onprogress = (event) => onProgress(event.lengthComputable ? event.loaded / event.total : 0)
    call.upload.onload = () => onProgress(1)
    call.onerror = () => reject(new ServiceError('The connection was lost while the file was on its way.'))
    call.onload = () => {
      try {
        resolve(answer(call.status, call.responseText))
      } catch (error) {
        reject(error)
      }
    }
    const form = new FormData()
    form.append('file', file)
    call.send(form)
  })
}
