/** Replays the Bundle's golden answers in this browser, as `distill verify` does on a device. */

import { answerConfidence, decide, decodeBase64, readJson, toProbabilities } from './bundle.js'
import { Client } from './client.js'

const DIGITS = 1 // of a difference, after the point

const $ = (id) => document.getElementById(id)

async function digest(pixels) {
  if (!globalThis.crypto?.subtle) return null // only with https, or on this device itself
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', pixels))
  return [...hash.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function replay(client, golden, place, noImage) {
  const { text, image } = golden.cases[place]
  const blob = image === null ? null : new Blob([decodeBase64(image)])
  const { pixels, scale } = blob ? await client.call('image', { blob }) : { pixels: null, scale: 1 }
  const { ids, logits, modelMs } = await client.call('predict', { text, pixels })
  const hash = await digest(pixels ?? noImage)
  return {
    place,
    scale,
    logits: [...logits],
    tokens: String(ids) === String(golden.ids[place]),
    pixels: hash === null ? null : hash === golden.pixels[place],
    largest: Math.max(...logits.map((value, i) => Math.abs(value - golden.logits[place][i]))),
    ms: modelMs,
  }
}

/** Whether a person is to be asked, for each precision that the Bundle can hold. */
function asks(probabilities, thresholds) {
  const confidence = answerConfidence(probabilities, decide(probabilities, thresholds))
  const cuts = (thresholds.answer_cuts ?? []).filter((cut) => cut.confidence !== null)
  return cuts.map((cut) => confidence < cut.confidence)
}

/** As `distill verify` judges: tokens have to be the same, and logits within the Bundle's own tolerance. Images that
 * Pillow decodes at a smaller scale, which no browser does, are reported apart. */
function judge(rows, golden, thresholds, threads) {
  const exact = rows.filter((row) => row.scale === 1)
  const differences = exact.flatMap((row) => row.logits.map((value, j) => value - golden.logits[row.place][j]))
  const logitRms = Math.sqrt(differences.reduce((sum, value) => sum + value * value, 0) / differences.length)
  const differing = (row, judged) => {
    const [own, expected] = [row.logits, golden.logits[row.place]].map((logits) =>
      judged(toProbabilities(logits, thresholds.groups)))
    return own.map((value, i) => value !== expected[i])
  }
  const flips = rows.flatMap((row) => differing(row, (p) => decide(p, thresholds)))
  const askFlips = rows.flatMap((row) => differing(row, (p) => asks(p, thresholds)))
  const otherTokens = rows.filter((row) => !row.tokens).length
  return {
    passed: otherTokens === 0 && logitRms <= golden.tolerance,
    logit_rms: logitRms,
    tolerance: golden.tolerance,
    largest: Math.max(...exact.map((row) => row.largest)),
    flipped: flips.filter(Boolean).length,
    decisions: flips.length,
    flipped_asks: askFlips.filter(Boolean).length,
    asks: askFlips.length,
    other_tokens: otherTokens,
    other_pixels: exact.filter((row) => row.pixels === false).length,
    scaled: rows.length - exact.length,
    scaled_largest: Math.max(0, ...rows.filter((row) => row.scale > 1).map((row) => row.largest)),
    threads,
    browser: navigator.userAgent,
    cases: rows,
  }
}

function showRow(row) {
  const match = { true: 'the same', false: 'different', null: 'not compared' }
  const { place, tokens, pixels, largest, ms } = row
  const cells = [place + 1, match[tokens], match[pixels], largest.toExponential(DIGITS), ms.toFixed(0)]
  $('cases').hidden = false
  $('cases').tBodies[0].insertRow().append(...cells.map((text, i) => {
    const cell = document.createElement(i ? 'td' : 'th')
    if (!i) cell.scope = 'row'
    cell.textContent = text
    return cell
  }))
}

function showReport(report) {
  const { passed, logit_rms: logitRms, tolerance, largest, scaled } = report
  $('state').textContent = `${passed ? 'Verified' : 'NOT verified: do not trust this page here'}. Logits differ by `
    + `${logitRms.toExponential(DIGITS)} (root mean square; ${tolerance.toExponential(DIGITS)} is allowed) and by `
    + `${largest.toExponential(DIGITS)} at most. ${report.other_tokens} texts have different tokens, `
    + `${report.other_pixels} images different pixels. ${report.flipped} of ${report.decisions} decisions differ.`
    + (report.asks ? ` ${report.flipped_asks} of ${report.asks} decisions whether to ask a person differ.` : '')
    + (scaled ? ` These figures leave out ${scaled} large JPEG images, which a browser cannot decode at a smaller scale `
      + `as Pillow does: their logits differ by ${report.scaled_largest.toExponential(DIGITS)} at most.` : '')
  $('figures').textContent = JSON.stringify(report, null, 1)
}

async function main() {
  const client = new Client()
  $('state').textContent = 'Loading the model …'
  $('loaded').hidden = false
  const [golden, thresholds, { preprocess, threads }] = await Promise.all([
    readJson('golden.json'), readJson('thresholds.json'),
    client.call('open', {}, ({ done, total }) => { $('loaded').value = done / total }),
  ])
  const noImage = new Uint8Array(3 * preprocess.image.size ** 2)
  const rows = []
  for (let place = 0; place < golden.cases.length; place++) {
    $('state').textContent = `Case ${place + 1} of ${golden.cases.length} …`
    $('loaded').value = place / golden.cases.length
    rows.push(await replay(client, golden, place, noImage))
    showRow(rows[place])
  }
  $('loaded').hidden = true
  showReport(judge(rows, golden, thresholds, threads))
}

main().catch((error) => { $('state').textContent = `The check failed: ${error.message}` })
