/** The page's end of the worker: calls a task and returns a promise of its result. */

export class Client {
  #pending = new Map()
  #lastId = 0

  constructor() {
    // Started from a blob, a worker is bound by the page's own policy: no network beyond this folder.
    const main = new URL('worker.js', import.meta.url).href
    const source = new Blob([`import ${JSON.stringify(main)}`], { type: 'text/javascript' })
    this.worker = new Worker(URL.createObjectURL(source), { type: 'module' })
    this.worker.addEventListener('message', ({ data }) => this.#receive(data))
    this.worker.addEventListener('error', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('The model cannot be started in this browser.'))
    })
  }

  /** Run one of the worker's tasks. Rejects with the task's Error. */
  call(task, input = {}, onProgress = () => {}) {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onProgress })
      this.worker.postMessage({ id, task, input })
    })
  }

  /** Stop all explanations that were called until now; they reject with "stopped". */
  stop() {
    this.worker.postMessage({ id: this.#lastId, task: 'stop' })
  }

  #receive({ id, progress, result, error }) {
    const call = this.#pending.get(id)
    if (progress) return call.onProgress(progress)
    this.#pending.delete(id)
    return error === undefined ? call.resolve(result) : call.reject(new Error(error))
  }
}
