/** A WordPiece tokenizer, from the tables of page.json and the vocabulary of the Bundle's tokenizer.json. */

const KEPT = 0, REMOVED = 1, SPACED = 2, SPACE = 4, PUNCTUATION = 8

export class Tokenizer {
  #kinds = new Uint8Array(0x110000)

  /** `tables` is page.json's `text`, `vocabulary` the ids of pieces by name. */
  constructor(tables, vocabulary) {
    this.tables = tables
    this.vocabulary = new Map(Object.entries(vocabulary))
    this.replaced = new Map(Object.entries(tables.replaced))
    const special = Object.keys(tables.special_tokens).sort((a, b) => b.length - a.length)
    const escaped = special.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
    this.special = special.length ? new RegExp(`(${escaped.join('|')})`, 'u') : null
    const kinds = [['removed', REMOVED], ['spaced', SPACED], ['spaces', SPACE], ['punctuation', PUNCTUATION]]
    for (const [name, kind] of kinds) {
      for (const [first, last] of tables[name]) for (let code = first; code <= last; code++) this.#kinds[code] |= kind
    }
    this.whitespace = new Set(tables.whitespace.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i)))
  }

  /** Whether a text holds a word: one of whitespace alone counts as no text. */
  hasText(text) {
    return [...text].some((letter) => !this.whitespace.has(letter.codePointAt(0)))
  }

  /** The ids of a text, special tokens included, at most `max_tokens`. */
  ids(text) {
    const { prefix_ids: prefix, suffix_ids: suffix, special_tokens: special, max_tokens: maxTokens } = this.tables
    const clean = text.replace(/\p{Surrogate}/gu, '?') // halves of characters
    const parts = this.special ? clean.split(this.special) : [clean]
    const ids = parts.flatMap((part, i) => i % 2 ? [special[part]] : this.#words(part).flatMap((w) => this.#pieces(w)))
    return [...prefix, ...ids.slice(0, Math.max(0, maxTokens - prefix.length - suffix.length)), ...suffix]
  }

  /** The words of a text without special tokens, each a list of characters. */
  #words(text) {
    const words = []
    let word = []
    const endWord = () => { if (word.length) words.push(word); word = [] }
    for (const letter of this.#normalised(text)) {
      const kind = this.#kinds[letter.codePointAt(0)]
      if (kind & (SPACE | PUNCTUATION)) {
        endWord()
        if (kind & PUNCTUATION) words.push([letter])
      } else word.push(letter)
    }
    endWord()
    return words
  }

  * #normalised(text) {
    for (const letter of text) {
      const kind = this.#kinds[letter.codePointAt(0)] & (REMOVED | SPACED)
      if (kind === SPACED) yield* [' ', letter, ' ']
      else if (kind === KEPT) yield* this.replaced.get(letter) ?? letter
    }
  }

  /** The ids of a word's pieces: the longest one in the vocabulary from the left, again and again. One piece that is
   * not in the vocabulary makes the whole word unknown. */
  #pieces(word) {
    const { unknown_id: unknown, continuing_prefix: continuing, max_word_length: maxLength } = this.tables
    if (word.length > maxLength) return [unknown]
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
