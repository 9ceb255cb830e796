/** Turns the model card's Markdown into elements: headings, tables, lists, code and paragraphs, which is all that
 * cards hold. Everything becomes text, never HTML. */

const element = (name, text = '') => Object.assign(document.createElement(name), { textContent: text })
const plain = (text) => text.replaceAll('`', '').trim()
const cells = (line) => line.replace(/^\||\|$/g, '').split('|').map(plain)

/** The card's elements; its headings rank below those of the page. */
export function renderCard(markdown) {
  const blocks = markdown.split(/\n\n+/).filter((block) => block.trim())
  return blocks.map((block) => {
    const lines = block.trim().split('\n')
    if (lines[0].startsWith('#')) return element('h3', plain(lines[0].replace(/^#+/, '')))
    if (lines[0].startsWith('```')) return element('pre', lines.slice(1, -1).join('\n'))
    if (lines[0].startsWith('|')) return scrollable(renderTable(lines))
    if (lines[0].startsWith('- ')) return renderList(lines)
    return element('p', plain(lines.join(' ')))
  })
}

function renderList(lines) {
  const list = element('ul')
  list.append(...lines.map((line) => element('li', plain(line.replace(/^- /, '')))))
  return list
}

function renderTable([head, , ...rows]) {
  const table = element('table')
  const heading = (text, scope) => Object.assign(element('th', text), { scope })
  table.createTHead().insertRow().append(...cells(head).map((text) => heading(text, 'col')))
  const body = table.createTBody()
  for (const row of rows) {
    body.insertRow().append(...cells(row).map((text, i) => i ? element('td', text) : heading(text, 'row')))
  }
  return table
}

function scrollable(table) {
  const box = Object.assign(element('div'), { className: 'scroll', tabIndex: 0 })
  box.setAttribute('role', 'region')
  box.setAttribute('aria-label', 'A table of the model card')
  box.append(table)
  return box
}
