/** The model's own thread: it answers one message at a time and leaves the page free. Knows no page. */

import { explain } from './explain.js'
import { Model } from './model.js'
import { decode, draft, toPixels } from './image.js'

let opened // a promise of the Model
let stopped = 0 // the last explanation that is not wanted any more

const tasks = {
  async open(_, tell) {
    opened = Model.open((done, total) => tell({ done, total }))
    const { preprocess, threads } = await opened
    return { preprocess, threads }
  },

  /** The pixels of an image, and what it took. */
  async image({ blob }) {
    const { preprocess: { image }, tallFirst } = await opened
    const start = performance.now()
    const bitmap = await decode(blob)
    const { width, height } = bitmap
    const scale = await draft(blob, bitmap, image.size)
    const pixels = toPixels(bitmap, image, scale, tallFirst)
    bitmap.close()
    return { pixels, width, height, scale, ms: performance.now() - start }
  },

  async answer({ text, pixels }) {
    const model = await opened
    const start = performance.now()
    const ids = model.tokenizer.ids(text)
    const middle = performance.now()
    const logits = await model.logits(ids, model.tokenizer.hasText(text), pixels)
    return { ids, logits, textMs: middle - start, modelMs: performance.now() - middle }
  },

  async explain({ text, pixels, label }, tell, id) {
    return explain(await opened, text, pixels, label, async (done, total) => {
      tell({ done, total })
      await new Promise((resolve) => { setTimeout(resolve) }) // lets a message that stops this one in
      if (stopped >= id) throw new Error('stopped')
    })
  },
}

addEventListener('message', async ({ data: { id, task, given } }) => {
  if (task === 'stop') {
    stopped = id
    return
  }
  try {
    const result = await tasks[task](given, (progress) => postMessage({ id, progress }), id)
    postMessage({ id, result })
  } catch (error) {
    postMessage({ id, error: error?.message ?? String(error) })
  }
})
