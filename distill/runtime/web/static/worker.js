/** The model's own thread: runs one task for each message, so that the page stays responsive. */

import { explain } from './explain.js'
import { Model } from './model.js'
import { decode, jpegScale, toPixels } from './image.js'

let opened // a promise of the Model
let stoppedId = 0 // explanations up to this id are to stop

const tasks = {
  async open(_, onProgress) {
    opened = Model.open((done, total) => onProgress({ done, total }))
    const { preprocess, threads, modalities } = await opened
    return { preprocess, threads, modalities }
  },

  /** The pixels of an image file, and how long that took. */
  async image({ blob }) {
    const { preprocess: { image }, heightFirst } = await opened
    const start = performance.now()
    const bitmap = await decode(blob)
    const { width, height } = bitmap
    const scale = await jpegScale(blob, bitmap, image.size)
    const pixels = toPixels(bitmap, image, scale, heightFirst)
    bitmap.close()
    return { pixels, width, height, scale, ms: performance.now() - start }
  },

  /** The ids and logits of a text and an image's pixels, and how long they took. */
  async predict({ text, pixels }) {
    const model = await opened
    const start = performance.now()
    const ids = model.tokenizer.ids(text)
    const middle = performance.now()
    const logits = await model.logits(ids, model.tokenizer.hasText(text), pixels)
    return { ids, logits, textMs: middle - start, modelMs: performance.now() - middle }
  },

  async explain(input, onProgress, id) {
    return explain(await opened, input, async (done, total) => {
      onProgress({ done, total })
      await new Promise((resolve) => { setTimeout(resolve) }) // lets a message in that stops this one
      if (stoppedId >= id) throw new Error('stopped')
    })
  },
}

addEventListener('message', async ({ data: { id, task, input } }) => {
  if (task === 'stop') {
    stoppedId = id
    return
  }
  try {
    const result = await tasks[task](input, (progress) => postMessage({ id, progress }), id)
    postMessage({ id, result })
  } catch (error) {
    postMessage({ id, error: error?.message ?? String(error) })
  }
})
