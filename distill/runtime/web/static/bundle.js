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

/** Every label's probability. The labels of a group exclude each other: theirs are a softmax, and add up to 1. */
export function toProbabilities(logits, groups = {}) {
  const probabilities = [...logits].map(sigmoid)
  for (const columns of Object.values(groups)) {
    const highest = Math.max(...columns.map((label) => logits[label]))
    const weights = columns.map((label) => Math.exp(logits[label] - highest))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    columns.forEach((label, place) => { probabilities[label] = weights[place] / sum })
  }
  return probabilities
}

/** Whether each label is predicted, by thresholds.json: where its probability is at least its threshold; in a group,
 * where it is the most probable, the first of equal ones. */
export function decide(probabilities, { values, groups = {} }) {
  const decisions = probabilities.map((probability, label) => values[label] !== null && probability >= values[label])
  for (const columns of Object.values(groups)) {
    const best = columns.reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a))
    decisions[best] = true
  }
  return decisions
}

/** How sure an answer is, as `distill predict --abstain` counts it (distill/scoring/selective.py): the mean probability
 * of the labels that it gives; where it gives none, the product of the probabilities that each is absent. */
export function answerConfidence(probabilities, decisions) {
  const given = probabilities.filter((_, label) => decisions[label])
  return given.length
    ? given.reduce((sum, probability) => sum + probability, 0) / given.length
    : probabilities.reduce((product, probability) => product * (1 - probability), 1)
}

/** The name of the group that a label is in, undefined if it is decided apart. */
export const groupOf = (label, groups = {}) => Object.keys(groups).find((name) => groups[name].includes(label))

/** A label's logit: the model's own, or, in a group, the one whose sigmoid is its softmax among these columns. */
export function logOdds(logits, label, columns) {
  if (!columns) return logits[label]
  const others = columns.filter((other) => other !== label).map((other) => logits[other])
  const highest = Math.max(...others)
  return logits[label] - highest - Math.log(others.reduce((sum, logit) => sum + Math.exp(logit - highest), 0))
}

/** 0.123 as 12.3 %. */
export const percent = (value) => `${(100 * value).toFixed(1)} %`

/** 0.9 as 90 %. */
export const wholePercent = (value) => `${+(100 * value).toFixed(2)} %`
