/** An image to the model's pixels, in Pillow's arithmetic. Knows images and canvases, no model. */

const BAND_PIXELS = 4e6 // read at once: bounds the memory of a large image
const BITS = 22, HALF = 1 << (BITS - 1) // Pillow's fixed point: 32 bits less 8 of a pixel less 2 spare
const MAX_PIXELS = 1e8
const SCALES = [8, 4, 2] // at which a JPEG can be decoded smaller

/** Turned upright as its EXIF says, in the colours of its file. Throws Error for what the browser cannot read. */
export async function decode(blob) {
  let bitmap
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none',
    })
  } catch {
    throw new Error('This browser cannot read that file as an image. JPEG, PNG, GIF and WebP work everywhere.')
  }
  if (bitmap.width * bitmap.height > MAX_PIXELS) {
    const size = `${bitmap.width} × ${bitmap.height}`
    bitmap.close()
    throw new Error(`That image has ${size} pixels, over the limit of ${MAX_PIXELS / 1e6} million. Shrink it first.`)
  }
  return bitmap
}

/** How many times smaller Pillow would decode this file: a JPEG that stays no smaller than `size`. */
export async function draft(blob, { width, height }, size) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer())
  const room = Math.min(Math.floor(width / size), Math.floor(height / size))
  return first === 0xFF && second === 0xD8 ? SCALES.find((scale) => scale <= room) ?? 1 : 1
}

/** What of an image is looked at: [left, top, right, bottom], whole for "squash", the middle square for "crop". */
export function looked(width, height, fit) {
  if (fit !== 'crop' || width === height) return [0, 0, width, height]
  const side = Math.min(width, height)
  const left = (width - side) * 0.5, top = (height - side) * 0.5
  return [left, top, left + side, top + side].map(Math.fround)
}

/** uint8 (size, size, 3), RGB on white. `scale` is that of `draft`; `tallFirst` says that this Pillow shrinks the
 * height before the width where that is much less work, which rounds otherwise. */
export function toPixels(bitmap, { size, fit }, scale, tallFirst) {
  const width = Math.ceil(bitmap.width / scale), height = Math.ceil(bitmap.height / scale)
  const [left, top, right, bottom] = looked(width, height, fit)
  const across = width === size && left === 0 && right === size ? same(size) : weigh(width, left, right, size)
  const down = height === size && top === 0 && bottom === size ? same(size) : weigh(height, top, bottom, size)
  const vertical = tallFirst && height > size && height - size > 2 * (width - size)
  const half = vertical ? new Float64Array(size * width * 3).fill(HALF) : new Uint8Array(height * size * 3)
  for (const [y, rgb] of bands(bitmap, scale, width)) {
    const rows = rgb.length / 3 / width
    if (vertical) add(rgb, y, rows, down, half)
    else for (let row = 0; row < rows; row++) squeeze(rgb, row * width * 3, 3, across, half, (y + row) * size * 3, 3)
  }
  const pixels = new Uint8Array(size * size * 3)
  const narrow = vertical ? Uint8Array.from(half, clipped) : half
  for (let place = 0; place < size; place++) {
    if (vertical) squeeze(narrow, place * width * 3, 3, across, pixels, place * size * 3, 3)
    else squeeze(narrow, place * 3, size * 3, down, pixels, place * 3, size * 3)
  }
  return pixels
}

/** [first row, RGB of some rows], from top to bottom, `scale` times smaller. */
function* bands(bitmap, scale, width) {
  const most = Math.min(bitmap.height, Math.max(1, Math.floor(BAND_PIXELS / bitmap.width / scale)) * scale)
  const context = new OffscreenCanvas(bitmap.width, most).getContext('2d', { alpha: false, willReadFrequently: true })
  context.imageSmoothingEnabled = false
  context.fillStyle = '#fff'
  for (let y = 0; y < bitmap.height; y += most) {
    const rows = Math.min(most, bitmap.height - y)
    context.fillRect(0, 0, bitmap.width, rows)
    context.drawImage(bitmap, 0, -y)
    yield [y / scale, shrunk(context.getImageData(0, 0, bitmap.width, rows), scale, width)]
  }
}

/** Means of `scale` x `scale` pixels, rounded; RGBA to RGB. */
function shrunk({ data, width: wide, height: high }, scale, width) {
  const rows = Math.ceil(high / scale)
  const rgb = new Uint8Array(rows * width * 3)
  for (let row = 0, out = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) {
      const bottom = Math.min(high, (row + 1) * scale), right = Math.min(wide, (column + 1) * scale)
      let red = 0, green = 0, blue = 0
      for (let y = row * scale; y < bottom; y++) {
        for (let x = column * scale, at = (y * wide + x) * 4; x < right; x++, at += 4) {
          red += data[at]
          green += data[at + 1]
          blue += data[at + 2]
        }
      }
      const count = (bottom - row * scale) * (right - column * scale)
      for (const sum of [red, green, blue]) rgb[out++] = Math.floor(sum / count + 0.5)
    }
  }
  return rgb
}

/** The triangle filter of Pillow's BILINEAR for one axis: for each pixel out, which pixels in and how much of each.
 * A pixel out of an image made smaller is a mean over as many as it stands for. */
function weigh(length, first, last, size) {
  const scale = Math.fround(last - first) / size
  const reach = Math.max(scale, 1), shrink = 1 / reach
  return Array.from({ length: size }, (_, place) => {
    const centre = first + (place + 0.5) * scale
    const start = Math.max(0, Math.trunc(centre - reach + 0.5))
    const end = Math.min(length, Math.trunc(centre + reach + 0.5))
    const parts = new Float64Array(end - start)
    for (let i = 0; i < parts.length; i++) parts[i] = Math.max(0, 1 - Math.abs((i + start - centre + 0.5) * shrink))
    const sum = parts.reduce((a, b) => a + b, 0)
    return { start, parts: Int32Array.from(parts, (part) => Math.trunc(0.5 + (sum ? part / sum : part) * 2 ** BITS)) }
  })
}

/** Weights that change nothing. */
const same = (size) => Array.from({ length: size }, (_, start) => ({ start, parts: Int32Array.of(2 ** BITS) }))

const clipped = (sum) => Math.min(255, sum >> BITS)

/** One line of pixels, `step` apart, to as many as there are weights. */
function squeeze(from, at, step, weights, to, start, stride) {
  for (let place = 0; place < weights.length; place++) {
    const { start: first, parts } = weights[place]
    for (let channel = 0; channel < 3; channel++) {
      let sum = HALF
      for (let i = 0, where = at + first * step + channel; i < parts.length; i++, where += step) {
        sum += from[where] * parts[i]
      }
      to[start + place * stride + channel] = clipped(sum)
    }
  }
}

/** Whole rows to the sums of those that they are part of. */
function add(rgb, y, rows, weights, sums) {
  const length = rgb.length / rows
  for (let place = 0; place < weights.length; place++) {
    const { start, parts } = weights[place]
    for (let row = Math.max(y, start); row < Math.min(y + rows, start + parts.length); row++) {
      const part = parts[row - start], from = (row - y) * length, to = place * length
      for (let i = 0; i < length; i++) sums[to + i] += rgb[from + i] * part
    }
  }
}
