/** The Bundle's golden questions, asked in this browser. Knows what a Bundle holds, no model. */

import { Client } from './client.js'
import { bytesOf, decided, get, sigmoid } from './bundle.js'

const DIGITS = 1 // of a difference, after the point

const $ = (id) => document.getElementById(id)

async function digest(pixels) {
  if (!globalThis.crypto?.subtle) return null // only with https, or on this device itself
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', pixels))
  return [...hash.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function replay(client, golden, place, missing) {
  const { text, image } = golden.cases[place]
  const blob = image === null ? null : new Blob([bytesOf(image)])
  const { pixels, scale } = blob ? await client.ask('image', { blob }) : { pixels: null, scale: 1 }
  const { ids, logits, modelMs } = await client.ask('answer', { text, pixels })
  const here = await digest(pixels ?? missing)
  return {
    place,
    scale,
    logits: [...logits],
    tokens: String(ids) === String(golden.ids[place]),
    pixels: here === null ? null : here === golden.pixels[place],
    largest: Math.max(...logits.map((value, i) => Math.abs(value - golden.logits[place][i]))),
    ms: modelMs,
  }
}

/** As `distill verify` judges: tokens have to be the same, logits within the Bundle's own tolerance. What Pillow decodes
 * at a smaller scale, which no browser does, is told apart. */
function judge(rows, golden, thresholds, threads) {
  const exact = rows.filter((row) => row.scale === 1)
  const differences = exact.flatMap((row) => row.logits.map((value, j) => value - golden.logits[row.place][j]))
  const drift = Math.sqrt(differences.reduce((sum, value) => sum + value * value, 0) / differences.length)
  const flips = rows.flatMap((row) => row.logits.map((value, j) =>
    decided(sigmoid(value), thresholds[j]) !== decided(sigmoid(golden.logits[row.place][j]), thresholds[j])))
  const otherTokens = rows.filter((row) => !row.tokens).length
  return {
    passed: otherTokens === 0 && drift <= golden.tolerance,
    drift,
    tolerance: golden.tolerance,
    largest: Math.max(...exact.map((row) => row.largest)),
    flipped: flips.filter(Boolean).length,
    decisions: flips.length,
    other_tokens: otherTokens,
    other_pixels: exact.filter((row) => row.pixels === false).length,
    scaled: rows.length - exact.length,
    scaled_largest: Math.max(0, ...rows.filter((row) => row.scale > 1).map((row) => row.largest)),
    threads,
    browser: navigator.userAgent,
    cases: rows,
  }
}

function show(row, place) {
  const same = { true: 'the same', false: 'other', null: 'not compared' }
  const cells = [place + 1, same[row.tokens], same[row.pixels], row.largest.toExponential(DIGITS), row.ms.toFixed(0)]
  $('cases').hidden = false
  $('cases').tBodies[0].insertRow().append(...cells.map((text, i) => {
    const cell = document.createElement(i ? 'td' : 'th')
    if (!i) cell.scope = 'row'
    cell.textContent = text
    return cell
  }))
}

function conclude(found) {
  $('state').textContent = `${found.passed ? 'Verified' : 'NOT verified: do not trust this page here'}. Logits differ by `
    + `${found.drift.toExponential(DIGITS)} (root mean square), ${found.tolerance.toExponential(DIGITS)} is allowed, `
    + `and by ${found.largest.toExponential(DIGITS)} at most. ${found.other_tokens} texts became other tokens, `
    + `${found.other_pixels} images other pixels. ${found.flipped} of ${found.decisions} decisions differ.`
    + (found.scaled ? ` ${found.scaled} large JPEG images, which a browser cannot decode at a smaller scale as Pillow `
      + `does, are not in those figures: their logits differ by ${found.scaled_largest.toExponential(DIGITS)} at most.` : '')
  $('figures').textContent = JSON.stringify(found, null, 1)
}

async function main() {
  const client = new Client()
  $('state').textContent = 'Loading the model …'
  $('loaded').hidden = false
  const [golden, { values }, { preprocess, threads }] = await Promise.all([
    get('golden.json'), get('thresholds.json'),
    client.ask('open', {}, ({ done, total }) => { $('loaded').value = done / total }),
  ])
  const missing = new Uint8Array(3 * preprocess.image.size ** 2)
  const rows = []
  for (let place = 0; place < golden.cases.length; place++) {
    $('state').textContent = `Question ${place + 1} of ${golden.cases.length} …`
    $('loaded').value = place / golden.cases.length
    rows.push(await replay(client, golden, place, missing))
    show(rows[place], place)
  }
  $('loaded').hidden = true
  conclude(judge(rows, golden, values, threads))
}

main().catch((error) => { $('state').textContent = `It cannot be checked: ${error.message}` })
