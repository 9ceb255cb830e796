/** The page: takes an image and a text, and shows the labels that the model predicts and why. */

import {
  answerConfidence, decide, groupOf, percent, readJson, readText, toProbabilities, wholePercent,
} from './bundle.js'
import { renderCard } from './card.js'
import { Client } from './client.js'
import { clearEffects, showEffects } from './effects.js'

const PAUSE_MS = 300 // in the typing, before the model runs
const GIVE = {
  both: 'Give an image, a text, or both.',
  text: 'Give a text: this model reads no images.',
  image: 'Give an image: this model reads no texts.',
}

const $ = (id) => document.getElementById(id)
const client = new Client()
const post = { image: null, text: '', result: null } // what the shown prediction is for, and the model's result
let names, thresholds, noise, spec, threads
let reads = 'both' // or 'text', or 'image': what the model reads of a post
let typing // the timer of a pause in the typing
let lastPrediction = 0 // counts predictions: only the last is shown
let lastImage = 0 // counts images chosen and removed: only the last is used

async function main() {
  $('loaded').hidden = false
  showState('Loading the model …')
  const opened = client.call('open', {}, ({ done, total }) => {
    $('loaded').value = done / total
    if (done === total) showState('Starting the model …')
  })
  opened.catch(() => {}) // reported below, after the small files
  const [labels, rule, golden, markdown] = await Promise.all([
    readText('labels.txt'), readJson('thresholds.json'), readJson('golden.json'), readText('README.md'),
  ])
  names = labels.split('\n').filter(Boolean)
  thresholds = rule
  noise = golden.tolerance // as much as rounding on another processor may move a logit
  offerCuts(thresholds.answer_cuts ?? [])
  $('card').querySelector('div').append(...renderCard(markdown))
  const model = await opened
  spec = model.preprocess.image
  threads = model.threads
  reads = model.modalities
  $('drop').hidden = reads === 'text'
  $('words-given').hidden = reads === 'image'
  $('loaded').hidden = true
  showState(`Ready: ${names.length} labels. ${GIVE[reads]}`)
  await predict()
}

const showState = (text) => { $('state').textContent = text }

/** Predict for the image and text on the page, and show the result unless they change meanwhile. */
async function predict() {
  const id = ++lastPrediction
  forget()
  if (!spec) return // called again when the model is there
  const text = $('text').value
  if (!post.image && !text.trim()) {
    $('labels').replaceChildren()
    for (const part of ['summary', 'times']) $(part).textContent = ''
    return
  }
  const result = await client.call('predict', { text, pixels: post.image?.pixels ?? null })
  if (id !== lastPrediction) return
  post.text = text
  post.result = result
  showPrediction()
}

/** Drop the prediction and the explanation, which are of the post before. */
function forget() {
  post.result = null
  client.stop()
  clearEffects()
  $('explain').disabled = true
}

/** The precisions that answers can be held to, if the Bundle knows any. */
function offerCuts(cuts) {
  $('abstain').append(...cuts.map(({ precision, confidence }) => {
    const end = confidence === null ? ', which cannot be held' : ''
    const option = new Option(`Only what holds a precision of ${wholePercent(precision)}${end}`)
    option.disabled = confidence === null
    return option
  }))
  $('holding').hidden = !cuts.length
}

/** What is asked of a person, and why, in place of an answer that is less sure than the precision chosen needs; else
 * undefined. */
function question(probabilities, decisions) {
  const cut = thresholds.answer_cuts?.[$('abstain').selectedIndex - 1] // the first option answers every post
  const confidence = answerConfidence(probabilities, decisions)
  return cut && confidence < cut.confidence ? `Ask a person: this answer is ${percent(confidence)} sure, and to hold `
    + `${wholePercent(cut.precision)} it must be ${percent(cut.confidence)} sure.` : undefined
}

function showPrediction() {
  const { logits, textMs, modelMs, ids } = post.result
  const probabilities = toProbabilities(logits, thresholds.groups)
  const decisions = decide(probabilities, thresholds)
  const asked = question(probabilities, decisions)
  const rows = probabilities.map((probability, label) => ({ label, probability, predicted: decisions[label] }))
  rows.sort((a, b) => b.predicted - a.predicted || b.probability - a.probability)
  $('summary').textContent = asked ?? answer(rows)
  $('labels').replaceChildren(...rows.map((row) => labelItem(row, row.predicted && !asked)))
  const image = post.image ? `image ${post.image.ms.toFixed(0)} ms, ` : ''
  $('times').textContent = `${image}text ${textMs.toFixed(1)} ms (${ids.length} tokens), model ${modelMs.toFixed(0)} ms `
    + `on ${threads === 1 ? 'one thread' : `${threads} threads`}.`
  const chosen = $('label').value
  $('label').replaceChildren(...rows.map((row) => new Option(names[row.label], row.label)))
  if (rows.some((row) => row.predicted && String(row.label) === chosen)) $('label').value = chosen
  $('explain').disabled = false
}

function answer(rows) {
  const predicted = rows.filter((row) => row.predicted).map((row) => names[row.label])
  const how = thresholds.groups ? 'are predicted' : 'reach their thresholds'
  return predicted.length
    ? `${predicted.length} of ${rows.length} labels ${how}: ${predicted.join('; ')}.`
    : `None of the ${rows.length} labels reaches its threshold.`
}

/** One label: its name, its probability beside its threshold in words, and both as a bar; a group has no threshold.
 * `isGiven` says that it is part of the answer. */
function labelItem({ label, probability, predicted }, isGiven) {
  const group = groupOf(label, thresholds.groups)
  const threshold = thresholds.values[label]
  const side = group === undefined
    ? `${predicted ? 'above' : 'below'} ${percent(threshold)}`
    : `${predicted ? 'the highest' : 'not the highest'} of ${group}`
  const item = document.createElement('li')
  item.className = isGiven ? 'predicted' : ''
  const name = Object.assign(document.createElement('span'), { className: 'name', textContent: names[label] })
  const value = Object.assign(document.createElement('span'), {
    className: 'value',
    textContent: `${percent(probability)}, ${side}`,
  })
  const bar = Object.assign(document.createElement('div'), { className: 'bar' })
  bar.setAttribute('aria-hidden', 'true')
  const [fill, tick] = ['fill', 'tick'].map((className) => Object.assign(document.createElement('div'), { className }))
  fill.style.width = `${100 * probability}%`
  tick.style.left = `${100 * threshold}%`
  bar.append(fill, ...(group === undefined ? [tick] : []))
  item.append(name, value, bar)
  return item
}

async function useImage(blob) {
  if (reads === 'text') return // pasted or dropped, where no place is shown for it
  const id = ++lastImage
  $('error').textContent = ''
  forget()
  try {
    const image = await client.call('image', { blob })
    if (id !== lastImage) return
    URL.revokeObjectURL($('preview').src)
    post.image = image
    $('preview').src = URL.createObjectURL(blob)
    $('stage').hidden = $('remove').hidden = false
  } catch (error) {
    if (id !== lastImage) return
    $('error').textContent = error.message // the image before stays, with its prediction
  }
  await predict()
}

function removeImage() {
  ++lastImage
  URL.revokeObjectURL($('preview').src)
  post.image = null
  $('file').value = ''
  $('stage').hidden = $('remove').hidden = true
  $('file').focus()
  report(predict())
}

async function explain() {
  const label = Number($('label').value)
  const { text, image } = post
  setExplaining(true)
  try {
    const columns = thresholds.groups?.[groupOf(label, thresholds.groups)]
    const input = { text, pixels: image?.pixels ?? null, label, columns }
    const logits = await client.call('explain', input, ({ done, total }) => { $('explained').value = done / total })
    showEffects(logits, { name: names[label], text, image, spec, noise })
  } catch (error) {
    $('explanation').textContent = error.message === 'stopped' ? 'Stopped.' : error.message
  }
  setExplaining(false)
}

function setExplaining(running) {
  if (running) clearEffects()
  $('explained').value = 0
  $('explained').hidden = $('stop').hidden = !running
  $('explain').hidden = running
  if (running) $('stop').focus()
  else if (document.activeElement === document.body) $('explain').focus()
}

/** Show the error of a promise that nothing else awaits. */
const report = (promise) => promise.catch((error) => showState(`Something went wrong: ${error.message}`))

const firstImage = (files) => [...files].find((file) => file.type.startsWith('image/')) ?? files[0]

$('text').addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(() => report(predict()), PAUSE_MS)
})
$('file').addEventListener('change', () => { if ($('file').files[0]) report(useImage($('file').files[0])) })
$('abstain').addEventListener('change', () => { if (post.result) showPrediction() })
$('remove').addEventListener('click', removeImage)
$('explain').addEventListener('click', () => report(explain()))
$('stop').addEventListener('click', () => client.stop())
addEventListener('paste', ({ clipboardData: { files } }) => { if (files.length) report(useImage(firstImage(files))) })
for (const kind of ['dragover', 'drop']) {
  addEventListener(kind, (event) => {
    event.preventDefault() // the browser would leave the page for the file
    $('drop').classList.toggle('over', kind === 'dragover')
    if (kind === 'drop' && event.dataTransfer.files.length) report(useImage(firstImage(event.dataTransfer.files)))
  })
}
addEventListener('dragleave', () => $('drop').classList.remove('over'))

report(main())
