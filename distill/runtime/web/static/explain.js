/** What moved an answer: words left out and regions covered, one at a time. Knows a model that can be asked. */

export const GRID = 5 // regions on a side

/** Where the words of a text stand: [start, end] pairs. */
export function words(text) {
  return [...text.matchAll(/\S+/g)].map((found) => [found.index, found.index + found[0].length])
}

/** The pixels with one region in the grey that the model's normalisation takes for nothing. */
export function covered(pixels, { size, mean }, row, column) {
  const copy = pixels.slice()
  const edge = (place) => Math.round(place * size / GRID)
  const grey = mean.map((value) => Math.round(255 * value))
  for (let y = edge(row); y < edge(row + 1); y++) {
    for (let x = edge(column); x < edge(column + 1); x++) copy.set(grey, (y * size + x) * 3)
  }
  return copy
}

/** Logits of one label, whole and without each part: {whole, words: [...], regions: [...]}, a region by row and
 * column in turn. `step` is awaited before each question with how many are done and how many there are; it throws
 * to stop. */
export async function explain(model, text, pixels, label, step) {
  const parts = words(text)
  const cells = pixels ? GRID * GRID : 0
  const total = 1 + parts.length + cells
  let done = 0
  const ask = async (given, shown) => {
    await step(done++, total)
    return (await model.ask(given, shown))[label]
  }
  const whole = await ask(text, pixels)
  const known = model.tokenizer.ids(text).join()
  const result = { whole, words: [], regions: [] }
  for (const [start, end] of parts) {
    const rest = text.slice(0, start) + text.slice(end)
    // What lies beyond the last token changes nothing: no need to ask.
    const same = model.tokenizer.ids(rest).join() === known
    result.words.push(same ? whole : await ask(rest, pixels))
    if (same) done++
  }
  for (let cell = 0; cell < cells; cell++) {
    result.regions.push(await ask(text, covered(pixels, model.preprocess.image, Math.floor(cell / GRID), cell % GRID)))
  }
  return result
}
