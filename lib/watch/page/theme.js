/** Light, dark, or as the system says; the choice is kept in the browser. */

const choices = ['auto', 'light', 'dark']

/**
 * Makes a button go through the choices.
 *
 * @param {HTMLElement} button
 */
export function themeButton(button) {
  const show = (choice) => {
    if (choice === 'auto') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = choice
    button.textContent = `theme: ${choice}`
  }
  let choice = choices.includes(stored()) ? stored() : 'auto'
  show(choice)
  button.addEventListener('click', () => {
    choice = choices[(choices.indexOf(choice) + 1) % choices.length]
    show(choice)
    try {
      localStorage.setItem('magrpo-theme', choice)
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  })
}

function stored() {
  try {
    return localStorage.getItem('magrpo-theme') ?? 'auto'
  } catch {
    return 'auto'
  }
}
