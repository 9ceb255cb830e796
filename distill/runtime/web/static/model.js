/** Opens the Bundle in this folder with onnxruntime-web, and runs it on texts and pixels. */

import * as ort from './ort/ort.wasm.min.mjs'
import { Tokenizer } from './tokenizer.js'

const MAX_THREADS = 4

export class Model {
  /** Fetch and open everything. `onProgress` gets the model's bytes so far and in all. Throws Error. */
  static async open(onProgress) {
    const [manifest, preprocess, { text, image }, { model: { vocab } }] = await Promise.all(
      ['bundle/manifest.json', 'bundle/preprocess.json', 'page.json', 'bundle/tokenizer.json'].map(fetchJson))
    // Only a server that isolates the page gives it memory that threads can share.
    const threads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1
    ort.env.wasm.numThreads = threads
    ort.env.wasm.wasmPaths = new URL('ort/', import.meta.url).href
    const bytes = await download('bundle/model.onnx', manifest.figures.size_bytes, onProgress)
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] })
    const modalities = manifest.modalities ?? 'both'
    return new Model(session, new Tokenizer(text, vocab), preprocess, image.height_first, threads, modalities)
  }

  constructor(session, tokenizer, preprocess, heightFirst, threads, modalities) {
    Object.assign(this, { session, tokenizer, preprocess, heightFirst, threads, modalities })
  }

  /** Logits, float32 (L,). `pixels` is null for no image. One example at a time: dynamic int8 takes its ranges from
   * the whole batch. */
  async logits(ids, hasText, pixels) {
    const { size } = this.preprocess.image
    const image = pixels ?? new Uint8Array(size * size * 3)
    const length = Math.max(1, ids.length)
    const padded = [...ids, ...Array(length - ids.length).fill(this.preprocess.text.pad_id)]
    const mask = padded.map((_, place) => BigInt(place < ids.length))
    const { logits } = await this.session.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.from(padded, BigInt), [1, length]),
      attention_mask: new ort.Tensor('int64', BigInt64Array.from(mask), [1, length]),
      pixels: new ort.Tensor('uint8', image, [1, size, size, 3]),
      present: new ort.Tensor('float32', Float32Array.of(hasText, pixels !== null), [1, 2]),
    })
    return Float32Array.from(logits.data)
  }

  /** Logits, float32 (L,), of a text as it was typed. */
  async predict(text, pixels) {
    return this.logits(this.tokenizer.ids(text), this.tokenizer.hasText(text), pixels)
  }
}

async function fetchFile(name) {
  const response = await fetch(new URL(name, import.meta.url))
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}; copy the folder again`)
  return response
}

const fetchJson = async (name) => (await fetchFile(name)).json()

async function download(name, size, onProgress) {
  const pieces = []
  let done = 0
  const reader = (await fetchFile(name)).body.getReader()
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    pieces.push(part.value)
    done += part.value.length
    onProgress(done, Math.max(size, done))
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer())
}
