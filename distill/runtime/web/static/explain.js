/** Explains a label by occlusion: its logit without each word, and with each region of the image covered. */

import { logOdds } from './bundle.js'

export const GRID = 5 // regions on a side

/** Where the words of a text are: [start, end] pairs. */
export function wordSpans(text) {
  return [...text.matchAll(/\S+/g)].map((match) => [match.index, match.index + match[0].length])
}

/** A copy of the pixels with one region in the model's mean colour. */
export function coverRegion(pixels, { size, mean }, row, column) {
  const copy = pixels.slice()
  const edge = (place) => Math.round(place * size / GRID)
  const colour = mean.map((value) => Math.round(255 * value))
  for (let y = edge(row); y < edge(row + 1); y++) {
    for (let x = edge(column); x < edge(column + 1); x++) copy.set(colour, (y * size + x) * 3)
  }
  return copy
}

/** One label's logits: {whole, words: [...], regions: [...]}, whole and without each part, regions row by row.
 * `columns` are those of its group, if it is in one. `beforeRun` is awaited before each run of the model with the number of runs done and in all; it throws to stop. */
export async function explain(model, { text, pixels, label, columns }, beforeRun) {
  const spans = wordSpans(text)
  const regions = pixels ? GRID * GRID : 0
  const total = 1 + spans.length + regions
  let done = 0
  const run = async (words, image) => {
    await beforeRun(done++, total)
    return logOdds(await model.predict(words, image), label, columns)
  }
  const whole = await run(text, pixels)
  const ids = model.tokenizer.ids(text).join()
  const result = { whole, words: [], regions: [] }
  for (const [start, end] of spans) {
    const rest = text.slice(0, start) + text.slice(end)
    // A word beyond the last token changes nothing: no need to run.
    const same = model.tokenizer.ids(rest).join() === ids
    result.words.push(same ? whole : await run(rest, pixels))
    if (same) done++
  }
  for (let place = 0; place < regions; place++) {
    const covered = coverRegion(pixels, model.preprocess.image, Math.floor(place / GRID), place % GRID)
    result.regions.push(await run(text, covered))
  }
  return result
}
