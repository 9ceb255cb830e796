/** Turns an image file into the model's pixels with Pillow's arithmetic, so that they are the same as in Python. */

const BAND_PIXELS = 4e6 // read at once: bounds the memory for a large image
const BITS = 22, HALF = 1 << (BITS - 1) // Pillow's fixed point: 32 bits less 8 of a pixel less 2 spare
const MAX_PIXELS = 1e8
const JPEG_SCALES = [8, 4, 2] // at which Pillow can decode a JPEG smaller

/** Upright as its EXIF says, in the colours of its file. Throws Error for a file that the browser cannot read. */
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
export async function jpegScale(blob, { width, height }, size) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer())
  const room = Math.min(Math.floor(width / size), Math.floor(height / size))
  return first === 0xFF && second === 0xD8 ? JPEG_SCALES.find((scale) => scale <= room) ?? 1 : 1
}

/** The part of an image that the model sees, [left, top, right, bottom]: all for "squash", the middle square for
 * "crop". */
export function visibleBox(width, height, fit) {
  if (fit !== 'crop' || width === height) return [0, 0, width, height]
  const side = Math.min(width, height)
  const left = (width - side) * 0.5, top = (height - side) * 0.5
  return [left, top, left + side, top + side].map(Math.fround)
}

/** uint8 (size, size, 3), RGB on white. `scale` is `jpegScale`'s; `heightFirst` says that this Pillow shrinks the
 * height before the width where that is much less work, which rounds differently. */
export function toPixels(bitmap, { size, fit }, scale, heightFirst) {
  const width = Math.ceil(bitmap.width / scale), height = Math.ceil(bitmap.height / scale)
  const [left, top, right, bottom] = visibleBox(width, height, fit)
  const across = width === size && left === 0 && right === size ? identity(size) : filter(width, left, right, size)
  const down = height === size && top === 0 && bottom === size ? identity(size) : filter(height, top, bottom, size)
  const vertical = heightFirst && height > size && height - size > 2 * (width - size)
  const half = vertical ? new Float64Array(size * width * 3).fill(HALF) : new Uint8Array(height * size * 3)
  for (const [y, rgb] of bands(bitmap, scale, width)) {
    const rows = rgb.length / 3 / width
    if (vertical) addRows(rgb, y, rows, down, half)
    else for (let row = 0; row < rows; row++) resizeLine(rgb, row * width * 3, 3, across, half, (y + row) * size * 3, 3)
  }
  const pixels = new Uint8Array(size * size * 3)
  const narrow = vertical ? Uint8Array.from(half, toByte) : half
  for (let place = 0; place < size; place++) {
    if (vertical) resizeLine(narrow, place * width * 3, 3, across, pixels, place * size * 3, 3)
    else resizeLine(narrow, place * 3, size * 3, down, pixels, place * 3, size * 3)
  }
  return pixels
}

/** [first row, RGB of some rows], from top to bottom, `scale` times smaller. */
function* bands(bitmap, scale, width) {
  const maxRows = Math.min(bitmap.height, Math.max(1, Math.floor(BAND_PIXELS / bitmap.width / scale)) * scale)
  const context = new OffscreenCanvas(bitmap.width, maxRows).getContext('2d', { alpha: false, willReadFrequently: true })
  context.imageSmoothingEnabled = false
  context.fillStyle = '#fff'
  for (let y = 0; y < bitmap.height; y += maxRows) {
    const rows = Math.min(maxRows, bitmap.height - y)
    context.fillRect(0, 0, bitmap.width, rows)
    context.drawImage(bitmap, 0, -y)
    yield [y / scale, shrink(context.getImageData(0, 0, bitmap.width, rows), scale, width)]
  }
}

/** Means of `scale` x `scale` pixels, rounded; RGBA to RGB. */
function shrink({ data, width: fullWidth, height: fullHeight }, scale, width) {
  const rows = Math.ceil(fullHeight / scale)
  const rgb = new Uint8Array(rows * width * 3)
  for (let row = 0, out = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) {
      const bottom = Math.min(fullHeight, (row + 1) * scale), right = Math.min(fullWidth, (column + 1) * scale)
      let red = 0, green = 0, blue = 0
      for (let y = row * scale; y < bottom; y++) {
        for (let x = column * scale, at = (y * fullWidth + x) * 4; x < right; x++, at += 4) {
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

/** The triangle filter of Pillow's BILINEAR along one axis: for each output pixel the first input pixel and the
 * weights from there on, in fixed point. When an image shrinks, an output pixel is a mean over as many as it covers. */
function filter(length, first, last, size) {
  const scale = Math.fround(last - first) / size
  const reach = Math.max(scale, 1), slope = 1 / reach
  return Array.from({ length: size }, (_, place) => {
    const centre = first + (place + 0.5) * scale
    const start = Math.max(0, Math.trunc(centre - reach + 0.5))
    const end = Math.min(length, Math.trunc(centre + reach + 0.5))
    const shares = new Float64Array(end - start)
    for (let i = 0; i < shares.length; i++) shares[i] = Math.max(0, 1 - Math.abs((i + start - centre + 0.5) * slope))
    const sum = shares.reduce((a, b) => a + b, 0)
    return { start, weights: Int32Array.from(shares, (share) => Math.trunc(0.5 + (sum ? share / sum : share) * 2 ** BITS)) }
  })
}

/** A filter that changes nothing. */
const identity = (size) => Array.from({ length: size }, (_, start) => ({ start, weights: Int32Array.of(2 ** BITS) }))

const toByte = (sum) => Math.min(255, sum >> BITS)

/** Resize one line of pixels, which lie `step` apart, to pixels that lie `stride` apart. */
function resizeLine(from, at, step, filters, to, start, stride) {
  for (let place = 0; place < filters.length; place++) {
    const { start: first, weights } = filters[place]
    for (let channel = 0; channel < 3; channel++) {
      let sum = HALF
      for (let i = 0, where = at + first * step + channel; i < weights.length; i++, where += step) {
        sum += from[where] * weights[i]
      }
      to[start + place * stride + channel] = toByte(sum)
    }
  }
}

/** Add whole rows to the weighted sums of all output rows that they belong to. */
function addRows(rgb, y, rows, filters, sums) {
  const length = rgb.length / rows
  for (let place = 0; place < filters.length; place++) {
    const { start, weights } = filters[place]
    for (let row = Math.max(y, start); row < Math.min(y + rows, start + weights.length); row++) {
      const weight = weights[row - start], from = (row - y) * length, to = place * length
      for (let i = 0; i < length; i++) sums[to + i] += rgb[from + i] * weight
    }
  }
}
