/** Shows an explanation on the page: tinted words, tinted regions, and the strongest of both in sentences. */

import { percent, sigmoid } from './bundle.js'
import { GRID, wordSpans } from './explain.js'
import { visibleBox } from './image.js'

const MAX_LISTED = 3 // words, and regions
const MIN_TINT = 0.1 // of the strongest effect: weaker words stay plain

const $ = (id) => document.getElementById(id)

export function clearEffects() {
  for (const id of ['regions', 'words', 'effects']) $(id).replaceChildren()
  $('explanation').textContent = ''
}

/** Show `explain`'s logits for the label `name`. A logit that moves by no more than `noise` counts as not moved. */
export function showEffects(logits, { name, text, image, spec, noise }) {
  const whole = sigmoid(logits.whole)
  // The effect of a part: the probability of the whole less that without the part.
  const [wordEffects, regionEffects] = [logits.words, logits.regions].map((values) => values.map((logit) =>
    Math.abs(logits.whole - logit) > noise ? whole - sigmoid(logit) : 0))
  const [topWords, topRegions] = [wordEffects, regionEffects].map(strongest)
  $('explanation').textContent = `${name}: ${percent(whole)}. ` + (topWords.length + topRegions.length
    ? 'The strongest effects:' : 'No single word or region changes it.')
  tintWords(text, wordEffects)
  if (image) tintRegions(regionEffects, topRegions, visibleBox(image.width, image.height, spec.fit), image)
  const words = wordSpans(text).map(([start, end]) => text.slice(start, end))
  $('effects').replaceChildren(
    ...topWords.map((place) => listItem(`The word “${words[place]}”`, whole, wordEffects[place])),
    ...topRegions.map((place, i) => listItem(`Region ${i + 1} (${position(place)})`, whole, regionEffects[place])))
}

/** The places of the strongest effects, for or against, the strongest first. */
function strongest(effects) {
  const order = effects.map((_, place) => place).sort((a, b) => Math.abs(effects[b]) - Math.abs(effects[a]))
  return order.slice(0, MAX_LISTED).filter((place) => effects[place] !== 0)
}

/** Each effect as a share of the strongest, 0 to 1. */
function strengths(effects) {
  const most = Math.max(Number.MIN_VALUE, ...effects.map(Math.abs))
  return effects.map((effect) => Math.abs(effect) / most)
}

function listItem(what, whole, effect) {
  const item = document.createElement('li')
  item.className = effect > 0 ? 'for' : 'against'
  item.textContent = `${what} speaks ${effect > 0 ? 'for' : 'against'} the label: ${percent(whole - effect)} without it.`
  return item
}

function position(place) {
  return `row ${Math.floor(place / GRID) + 1}, column ${(place % GRID) + 1} of ${GRID}`
}

/** The text again, each word tinted by its effect; solid underline for the label, dashed against it. */
function tintWords(text, effects) {
  const strength = strengths(effects)
  let done = 0
  for (const [i, [start, end]] of wordSpans(text).entries()) {
    const word = document.createElement('span')
    word.textContent = text.slice(start, end)
    if (strength[i] >= MIN_TINT) {
      word.className = effects[i] > 0 ? 'for' : 'against'
      word.style.setProperty('--strength', strength[i])
    }
    $('words').append(text.slice(done, start), word)
    done = end
  }
}

/** Tinted regions over the image, the strongest with their numbers. */
function tintRegions(effects, topRegions, [left, top, right, bottom], { width, height }) {
  Object.assign($('regions').style, {
    left: `${100 * left / width}%`,
    top: `${100 * top / height}%`,
    width: `${100 * (right - left) / width}%`,
    height: `${100 * (bottom - top) / height}%`,
    gridTemplate: `repeat(${GRID}, 1fr) / repeat(${GRID}, 1fr)`,
  })
  const strength = strengths(effects)
  $('regions').replaceChildren(...effects.map((effect, place) => {
    const region = document.createElement('div')
    region.className = effect > 0 ? 'for' : 'against'
    region.style.setProperty('--strength', strength[place])
    const rank = topRegions.indexOf(place)
    if (rank >= 0) region.append(Object.assign(document.createElement('b'), { textContent: rank + 1 }))
    return region
  }))
}
