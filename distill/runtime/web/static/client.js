/** The page's end of the worker: a question to a promise. Knows messages, not what they mean. */

export class Client {
  #waiting = new Map()
  #last = 0

  constructor() {
    // Started from a blob, a worker keeps to the page's own policy: no network but this folder.
    const main = new URL('worker.js', import.meta.url).href
    const source = new Blob([`import ${JSON.stringify(main)}`], { type: 'text/javascript' })
    this.worker = new Worker(URL.createObjectURL(source), { type: 'module' })
    this.worker.addEventListener('message', ({ data }) => this.#hear(data))
    this.worker.addEventListener('error', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('The model cannot be started in this browser.'))
    })
  }

  /** Ask the worker for a task; `told` hears of its progress. */
  ask(task, given = {}, told = () => {}) {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, told })
      this.worker.postMessage({ id, task, given })
    })
  }

  /** Give up explanations that were asked for until now. */
  stop() {
    this.worker.postMessage({ id: this.#last, task: 'stop' })
  }

  #hear({ id, progress, result, error }) {
    const one = this.#waiting.get(id)
    if (progress) return one.told(progress)
    this.#waiting.delete(id)
    return error === undefined ? one.resolve(result) : one.reject(new Error(error))
  }
}
