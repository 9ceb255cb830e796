/** WordPiece, from the tables of page.json and the vocabulary of the Bundle's tokenizer.json. Knows no model. */

const KEPT = 0, REMOVED = 1, APART = 2, SPACE = 4, PUNCTUATION = 8

export class Tokenizer {
  #kinds = new Uint8Array(0x110000)

  /** `table` is page.json's `text`, `vocabulary` the ids of pieces by name. */
  constructor(table, vocabulary) {
    this.table = table
    this.vocabulary = new Map(Object.entries(vocabulary))
    this.becomes = new Map(Object.entries(table.becomes))
    const special = Object.keys(table.special).sort((a, b) => b.length - a.length)
    const escaped = special.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
    this.special = special.length ? new RegExp(`(${escaped.join('|')})`, 'u') : null
    const marks = [['removed', REMOVED], ['apart', APART], ['spaces', SPACE], ['punctuation', PUNCTUATION]]
    for (const [name, kind] of marks) {
      for (const [first, last] of table[name]) for (let code = first; code <= last; code++) this.#kinds[code] |= kind
    }
    this.blank = new Set(table.blank.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i)))
  }

  /** Whether there is a word in it: a text of blanks counts as no text. */
  hasText(text) {
    return [...text].some((letter) => !this.blank.has(letter.codePointAt(0)))
  }

  /** The ids of a text, special ones included, none beyond `max_tokens`. */
  ids(text) {
    const { before, after, special, max_tokens: most } = this.table
    const clean = text.replace(/\p{Surrogate}/gu, '?') // halves of characters
    const parts = this.special ? clean.split(this.special) : [clean]
    const ids = parts.flatMap((part, i) => i % 2 ? [special[part]] : this.#words(part).flatMap((w) => this.#pieces(w)))
    return [...before, ...ids.slice(0, Math.max(0, most - before.length - after.length)), ...after]
  }

  /** What a text without special tokens is cut into: each word a list of characters. */
  #words(text) {
    const words = []
    let word = []
    const end = () => { if (word.length) words.push(word); word = [] }
    for (const letter of this.#normalised(text)) {
      const kind = this.#kinds[letter.codePointAt(0)]
      if (kind & (SPACE | PUNCTUATION)) {
        end()
        if (kind & PUNCTUATION) words.push([letter])
      } else word.push(letter)
    }
    end()
    return words
  }

  * #normalised(text) {
    for (const letter of text) {
      const kind = this.#kinds[letter.codePointAt(0)] & (REMOVED | APART)
      if (kind === APART) yield* [' ', letter, ' ']
      else if (kind === KEPT) yield* this.becomes.get(letter) ?? letter
    }
  }

  /** The longest known piece from the left, again and again; one unknown piece makes the whole word unknown. */
  #pieces(word) {
    const { unknown, continuing, longest_word: longest } = this.table
    if (word.length > longest) return [unknown]
    const ids = []
    for (let start = 0; start < word.length;) {
      let end = word.length, id
      for (; end > start; end--) {
        id = this.vocabulary.get((start ? continuing : '') + word.slice(start, end).join(''))
        if (id !== undefined) break
      }
      if (id === undefined) return [unknown]
      ids.push(id)
      start = end
    }
    return ids
  }
}
