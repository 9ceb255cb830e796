/** The Bundle in this folder, opened: texts and pixels to logits. Knows onnxruntime-web, no page. */

import * as ort from './ort/ort.wasm.min.mjs'
import { Tokenizer } from './tokenizer.js'

const MOST_THREADS = 4

export class Model {
  /** Fetch and open everything; `progress` is told the model's bytes so far and in all. Throws Error. */
  static async open(progress) {
    const [manifest, preprocess, { text, image }, { model: { vocab } }] = await Promise.all(
      ['bundle/manifest.json', 'bundle/preprocess.json', 'page.json', 'bundle/tokenizer.json'].map(json))
    // Without a server that isolates the page, a browser gives no memory that threads can share.
    const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1
    ort.env.wasm.numThreads = threads
    ort.env.wasm.wasmPaths = new URL('ort/', import.meta.url).href
    const bytes = await download('bundle/model.onnx', manifest.figures.size_bytes, progress)
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] })
    return new Model(session, new Tokenizer(text, vocab), preprocess, image.tall_first, threads)
  }

  constructor(session, tokenizer, preprocess, tallFirst, threads) {
    Object.assign(this, { session, tokenizer, preprocess, tallFirst, threads })
  }

  /** Logits, float32 (labels). `pixels` is null for no image. One example at a time: int8 scales go by batch. */
  async logits(ids, hasText, pixels) {
    const { size } = this.preprocess.image
    const shown = pixels ?? new Uint8Array(size * size * 3)
    const width = Math.max(1, ids.length)
    const padded = [...ids, ...Array(width - ids.length).fill(this.preprocess.text.pad_id)]
    const mask = padded.map((_, place) => BigInt(place < ids.length))
    const { logits } = await this.session.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.from(padded, BigInt), [1, width]),
      attention_mask: new ort.Tensor('int64', BigInt64Array.from(mask), [1, width]),
      pixels: new ort.Tensor('uint8', shown, [1, size, size, 3]),
      present: new ort.Tensor('float32', Float32Array.of(hasText, pixels !== null), [1, 2]),
    })
    return Float32Array.from(logits.data)
  }

  /** As `logits`, of a text as it was typed. */
  async ask(text, pixels) {
    return this.logits(this.tokenizer.ids(text), this.tokenizer.hasText(text), pixels)
  }
}

async function get(name) {
  const response = await fetch(new URL(name, import.meta.url))
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}; is the folder whole?`)
  return response
}

const json = async (name) => (await get(name)).json()

async function download(name, size, progress) {
  const pieces = []
  let done = 0
  const reader = (await get(name)).body.getReader()
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    pieces.push(part.value)
    done += part.value.length
    progress(done, Math.max(size, done))
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer())
}
