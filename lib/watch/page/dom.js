/** From trees to elements of a page; text stays text. */

const svgTags = new Set(['svg', 'path', 'line', 'text', 'circle', 'rect', 'g'])

/**
 * @param {import('./chart.js').Tree | string} tree
 * @returns {Node}
 */
export function toDom(tree) {
  if (typeof tree === 'string') return document.createTextNode(tree)
  const node = svgTags.has(tree.tag)
    ? document.createElementNS('http://www.w3.org/2000/svg', tree.tag)
    : document.createElement(tree.tag)
  for (const [name, value] of Object.entries(tree.attributes)) node.setAttribute(name, String(value))
  node.append(...tree.children.map(toDom))
  return node
}

/**
 * An element with attributes, listeners (`onclick: …`) and children; children that are undefined or false are left out.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string | undefined | false)} children
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else node.setAttribute(name, value === true ? '' : String(value))
  }
  node.append(...children.filter((child) => child !== undefined && child !== false))
  return node
}
