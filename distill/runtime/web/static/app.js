/** The page: what is given, what is answered, and why. Knows the document; asks the worker for all else. */

import { decided, get, percent, sigmoid, text as read } from './bundle.js'
import { card } from './card.js'
import { Client } from './client.js'
import { paint, wipe } from './why.js'

const PAUSE_MS = 300 // of typing, before it is asked

const $ = (id) => document.getElementById(id)
const client = new Client()
const now = { image: null, text: '', answer: null } // what the page shows
let names, thresholds, noise, spec, threads
let waiting // for a pause in the typing
let round = 0 // counts answers asked for: only the last is shown
let choice = 0 // counts images given and removed: only the last is taken

async function main() {
  $('loaded').hidden = false
  say('Loading the model …')
  const opened = client.ask('open', {}, ({ done, total }) => {
    $('loaded').value = done / total
    if (done === total) say('Starting the model …')
  })
  opened.catch(() => {}) // told below, after the small files
  const [labels, values, golden, about] = await Promise.all([
    read('labels.txt'), get('thresholds.json'), get('golden.json'), read('README.md'),
  ])
  names = labels.split('\n').filter(Boolean)
  thresholds = values.values
  noise = golden.tolerance // what another processor's rounding may move a logit by
  $('card').querySelector('div').append(...card(about))
  const found = await opened
  spec = found.preprocess.image
  threads = found.threads
  $('loaded').hidden = true
  say(`Ready: ${names.length} labels. Give it an image, a text, or both.`)
  await answer()
}

const say = (words) => { $('state').textContent = words }

/** Ask about what is given now, and show it, unless something else is given meanwhile. */
async function answer() {
  const mine = ++round
  forget()
  if (!spec) return // asked again when the model is there
  const text = $('text').value
  if (!now.image && !text.trim()) {
    $('labels').replaceChildren()
    for (const id of ['summary', 'times']) $(id).textContent = ''
    return
  }
  const found = await client.ask('answer', { text, pixels: now.image?.pixels ?? null })
  if (mine !== round) return
  const rows = [...found.logits].map((logit, place) => {
    const probability = sigmoid(logit)
    return { place, probability, given: decided(probability, thresholds[place]) }
  })
  now.text = text
  now.answer = rows.sort((a, b) => b.given - a.given || b.probability - a.probability)
  show(rows, found)
}

/** What was explained belongs to what was given before. */
function forget() {
  client.stop()
  wipe()
  now.answer = null
  $('explain').disabled = true
}

function show(rows, { textMs, modelMs, ids }) {
  const given = rows.filter((row) => row.given)
  const list = given.map((row) => names[row.place]).join('; ')
  $('summary').textContent = given.length
    ? `${given.length} of ${rows.length} labels are at or above their thresholds: ${list}.`
    : `None of ${rows.length} labels is at its threshold.`
  $('labels').replaceChildren(...rows.map(bar))
  const image = now.image ? `image ${now.image.ms.toFixed(0)} ms, ` : ''
  $('times').textContent = `${image}text ${textMs.toFixed(1)} ms (${ids.length} tokens), model ${modelMs.toFixed(0)} ms `
    + `on ${threads === 1 ? 'one thread' : `${threads} threads`}.`
  const chosen = $('label').value
  $('label').replaceChildren(...rows.map((row) => new Option(names[row.place], row.place)))
  if (rows.some((row) => row.given && String(row.place) === chosen)) $('label').value = chosen
  $('explain').disabled = false
}

/** One label: its name, its probability beside its threshold in words, and both as a bar. */
function bar({ place, probability, given }) {
  const item = document.createElement('li')
  item.className = given ? 'given' : ''
  const name = Object.assign(document.createElement('span'), { className: 'name', textContent: names[place] })
  const said = Object.assign(document.createElement('span'), {
    className: 'said',
    textContent: `${percent(probability)}, ${given ? 'above' : 'below'} ${percent(thresholds[place])}`,
  })
  const drawn = Object.assign(document.createElement('div'), { className: 'bar' })
  drawn.setAttribute('aria-hidden', 'true')
  const [fill, tick] = ['fill', 'tick'].map((className) => Object.assign(document.createElement('div'), { className }))
  fill.style.width = `${100 * probability}%`
  tick.style.left = `${100 * thresholds[place]}%`
  drawn.append(fill, tick)
  item.append(name, said, drawn)
  return item
}

async function take(blob) {
  const mine = ++choice
  $('trouble').textContent = ''
  forget()
  try {
    const image = await client.ask('image', { blob })
    if (mine !== choice) return
    URL.revokeObjectURL($('shown').src)
    now.image = image
    $('shown').src = URL.createObjectURL(blob)
    $('stage').hidden = $('remove').hidden = false
  } catch (error) {
    if (mine !== choice) return
    $('trouble').textContent = error.message // what was there before stays, and its answer with it
  }
  await answer()
}

function drop() {
  ++choice
  URL.revokeObjectURL($('shown').src)
  now.image = null
  $('file').value = ''
  $('stage').hidden = $('remove').hidden = true
  $('file').focus()
  tell(answer())
}

async function explain() {
  const label = Number($('label').value)
  const given = { text: now.text, pixels: now.image?.pixels ?? null, label }
  busy(true)
  try {
    const found = await client.ask('explain', given, ({ done, total }) => { $('asked').value = done / total })
    paint(found, { name: names[label], text: given.text, image: now.image, spec, noise })
  } catch (error) {
    $('because').textContent = error.message === 'stopped' ? 'Stopped.' : error.message
  }
  busy(false)
}

function busy(is) {
  if (is) wipe()
  $('asked').value = 0
  $('asked').hidden = $('stop').hidden = !is
  $('explain').hidden = is
  if (is) $('stop').focus()
  else if (document.activeElement === document.body) $('explain').focus()
}

/** Failures that nobody waits for are told on the page. */
const tell = (promise) => promise.catch((error) => say(`It does not work: ${error.message}`))

const image = (files) => [...files].find((file) => file.type.startsWith('image/')) ?? files[0]

$('text').addEventListener('input', () => {
  clearTimeout(waiting)
  waiting = setTimeout(() => tell(answer()), PAUSE_MS)
})
$('file').addEventListener('change', () => { if ($('file').files[0]) tell(take($('file').files[0])) })
$('remove').addEventListener('click', drop)
$('explain').addEventListener('click', () => tell(explain()))
$('stop').addEventListener('click', () => client.stop())
addEventListener('paste', ({ clipboardData }) => { if (clipboardData.files.length) tell(take(image(clipboardData.files))) })
for (const kind of ['dragover', 'drop']) {
  addEventListener(kind, (event) => {
    event.preventDefault() // the browser would leave the page for the file
    $('drop').classList.toggle('over', kind === 'dragover')
    if (kind === 'drop' && event.dataTransfer.files.length) tell(take(image(event.dataTransfer.files)))
  })
}
addEventListener('dragleave', () => $('drop').classList.remove('over'))

tell(main())
