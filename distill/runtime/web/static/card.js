/** The Bundle's card, from the Markdown that cards are written in: headings, tables, lists, code, paragraphs.
 * Knows no other Markdown; everything becomes text, never HTML. */

const element = (name, text = '') => Object.assign(document.createElement(name), { textContent: text })
const plain = (text) => text.replaceAll('`', '').trim()
const cells = (line) => line.replace(/^\||\|$/g, '').split('|').map(plain)

/** Elements for a card's text, its headings below those of the page. */
export function card(markdown) {
  const blocks = markdown.split(/\n\n+/).filter((block) => block.trim())
  return blocks.map((block) => {
    const lines = block.trim().split('\n')
    if (lines[0].startsWith('#')) return element('h3', plain(lines[0].replace(/^#+/, '')))
    if (lines[0].startsWith('```')) return element('pre', lines.slice(1, -1).join('\n'))
    if (lines[0].startsWith('|')) return scrolled(table(lines))
    if (lines[0].startsWith('- ')) return list(lines)
    return element('p', plain(lines.join(' ')))
  })
}

function list(lines) {
  const made = element('ul')
  made.append(...lines.map((line) => element('li', plain(line.replace(/^- /, '')))))
  return made
}

function table([head, , ...rows]) {
  const made = element('table')
  made.createTHead().insertRow().append(...cells(head).map((text) => Object.assign(element('th', text), { scope: 'col' })))
  const body = made.createTBody()
  for (const row of rows) {
    body.insertRow().append(...cells(row).map((text, i) =>
      i ? element('td', text) : Object.assign(element('th', text), { scope: 'row' })))
  }
  return made
}

function scrolled(inner) {
  const outer = Object.assign(element('div'), { className: 'scroll', tabIndex: 0 })
  outer.setAttribute('role', 'region')
  outer.setAttribute('aria-label', 'A table of the card')
  outer.append(inner)
  return outer
}
