/** The small files of the Bundle, and what its figures mean. Knows no page and no model. */

/** One JSON file of the Bundle. Throws Error. */
export async function get(name) {
  return JSON.parse(await text(name))
}

/** One text file of the Bundle. Throws Error. */
export async function text(name) {
  const response = await fetch(new URL(`bundle/${name}`, import.meta.url))
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}; is the folder whole?`)
  return response.text()
}

/** What base64 stands for. */
export const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))

/** A logit to a probability. */
export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit))

/** Whether a label is given. */
export const decided = (probability, threshold) => probability >= threshold

/** 0.123 as 12.3 %. */
export const percent = (value) => `${(100 * value).toFixed(1)} %`
