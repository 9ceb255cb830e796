/** Reads the Bundle's small files, and turns logits into probabilities and decisions. */

/** A JSON file of the Bundle. Throws Error. */
export async function readJson(name) {
  return JSON.parse(await readText(name))
}

/** A text file of the Bundle. Throws Error. */
export async function readText(name) {
  const response = await fetch(new URL(`bundle/${name}`, import.meta.url))
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}; copy the folder again`)
  return response.text()
}

export const decodeBase64 = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit))

/** Whether a label is predicted. */
export const isPredicted = (probability, threshold) => probability >= threshold

/** 0.123 as 12.3 %. */
export const percent = (value) => `${(100 * value).toFixed(1)} %`
