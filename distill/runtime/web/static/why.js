/** What moved an answer, painted: words, regions, and both in sentences. Knows the document and one explanation. */

import { percent, sigmoid } from './bundle.js'
import { GRID, words } from './explain.js'
import { looked } from './image.js'

const MOST = 3 // of words and of regions that are named
const TINTED = 0.1 // of the strongest: less is left plain

const $ = (id) => document.getElementById(id)

/** Nothing is explained. */
export function wipe() {
  for (const id of ['heat', 'words', 'most']) $(id).replaceChildren()
  $('because').textContent = ''
}

/** Show an explanation of the label `name`. A logit that moves by no more than `noise` has not been moved. */
export function paint(found, { name, text, image, spec, noise }) {
  const whole = sigmoid(found.whole)
  // How much each part adds: what is there with it, less what is there without it.
  const [byWord, byRegion] = [found.words, found.regions].map((logits) => logits.map((logit) =>
    Math.abs(found.whole - logit) > noise ? whole - sigmoid(logit) : 0))
  const [topWords, topRegions] = [byWord, byRegion].map(top)
  $('because').textContent = `${name}: ${percent(whole)} as it is. `
    + (topWords.length + topRegions.length ? 'What moved it most:' : 'No single word or region moves it.')
  underline(text, byWord)
  if (image) cover(byRegion, topRegions, looked(image.width, image.height, spec.fit), image)
  const spoken = words(text).map(([start, end]) => text.slice(start, end))
  $('most').replaceChildren(
    ...topWords.map((place) => line(`Word “${spoken[place]}”`, whole, byWord[place])),
    ...topRegions.map((place, i) => line(`Region ${i + 1}, ${where(place)}`, whole, byRegion[place])))
}

/** Places of the largest parts, either way, the largest first. */
function top(parts) {
  const order = parts.map((_, place) => place).sort((a, b) => Math.abs(parts[b]) - Math.abs(parts[a]))
  return order.slice(0, MOST).filter((place) => parts[place] !== 0)
}

/** 0 to 1 of each part, of the strongest of its kind. */
function strengths(parts) {
  const strongest = Math.max(Number.MIN_VALUE, ...parts.map(Math.abs))
  return parts.map((part) => Math.abs(part) / strongest)
}

function line(what, whole, part) {
  const item = document.createElement('li')
  item.className = part > 0 ? 'for' : 'against'
  item.textContent = `${what} speaks ${part > 0 ? 'for' : 'against'} it: ${percent(whole - part)} without it.`
  return item
}

function where(place) {
  return `row ${Math.floor(place / GRID) + 1} and column ${(place % GRID) + 1} of ${GRID}`
}

/** The text again, each word tinted by what it adds: underlined where it speaks for, dashed where against. */
function underline(text, parts) {
  const strength = strengths(parts)
  let done = 0
  for (const [i, [start, end]] of words(text).entries()) {
    const word = document.createElement('span')
    word.textContent = text.slice(start, end)
    if (strength[i] >= TINTED) {
      word.className = parts[i] > 0 ? 'for' : 'against'
      word.style.setProperty('--strength', strength[i])
    }
    $('words').append(text.slice(done, start), word)
    done = end
  }
}

/** Tinted regions over the image, the strongest with their numbers. */
function cover(parts, topRegions, [left, top_, right, bottom], { width, height }) {
  Object.assign($('heat').style, {
    left: `${100 * left / width}%`,
    top: `${100 * top_ / height}%`,
    width: `${100 * (right - left) / width}%`,
    height: `${100 * (bottom - top_) / height}%`,
    gridTemplate: `repeat(${GRID}, 1fr) / repeat(${GRID}, 1fr)`,
  })
  const strength = strengths(parts)
  $('heat').replaceChildren(...parts.map((part, place) => {
    const cell = document.createElement('div')
    cell.className = part > 0 ? 'for' : 'against'
    cell.style.setProperty('--strength', strength[place])
    const rank = topRegions.indexOf(place)
    if (rank >= 0) cell.append(Object.assign(document.createElement('b'), { textContent: rank + 1 }))
    return cell
  }))
}
