// Filters the claims of claims.md by text, verdict, source and experiment. Without scripts the page shows all of them.
const claims = [...document.querySelectorAll("details.claim")]
if (claims.length) {
  const form = document.createElement("form")
  form.className = "claims-filter"
  const text = Object.assign(document.createElement("input"), { type: "search", placeholder: "Words of the statement" })
  text.setAttribute("aria-label", "Words of the statement")
  const choices = ["verdict", "source", "experiments"].map(choiceOf)
  const open = Object.assign(document.createElement("button"), { type: "button", textContent: "Open all" })
  const shown = document.createElement("output")
  form.append(text, ...choices, open, shown)
  headingOf(claims[0]).before(form)

  const words = new Map(claims.map(claim => [claim, claim.querySelector("summary").textContent.toLowerCase()]))
  const isShown = claim => choices.every(choice => !choice.value || valuesOf(claim, choice.name).includes(choice.value)) &&
    text.value.toLowerCase().split(/\s+/).every(word => words.get(claim).includes(word))

  function filter() {
    for (const claim of claims) claim.hidden = !isShown(claim)
    const visible = claims.filter(claim => !claim.hidden)
    const sections = new Set(visible.map(headingOf))
    for (const heading of new Set(claims.map(headingOf))) {
      heading.hidden = !sections.has(heading)
      heading.nextElementSibling.hidden = heading.hidden // the sentence that explains the verdict
    }
    shown.textContent = `${visible.length} of ${claims.length} claims`
  }

  function choiceOf(name) {
    const choice = Object.assign(document.createElement("select"), { name })
    choice.setAttribute("aria-label", name)
    const counts = new Map()
    for (const value of claims.flatMap(claim => valuesOf(claim, name))) counts.set(value, (counts.get(value) ?? 0) + 1)
    choice.append(new Option(`all ${name === "experiments" ? name : name + "s"}`, ""))
    const values = [...counts.keys()]
    if (name === "experiments") values.sort()
    choice.append(...values.map(value => new Option(`${value} (${counts.get(value)})`, value)))
    return choice
  }

  // A link to a claim shows it: opened, and not filtered out.
  function follow() {
    const claim = claims.find(claim => claim.id === decodeURIComponent(location.hash.slice(1)))
    if (!claim) return
    if (claim.hidden) form.reset()
    filter()
    claim.open = true
    claim.scrollIntoView()
  }

  form.addEventListener("input", filter)
  form.addEventListener("submit", event => event.preventDefault())
  open.addEventListener("click", () => {
    const opens = open.textContent === "Open all"
    for (const claim of claims) claim.open = opens && !claim.hidden
    open.textContent = opens ? "Close all" : "Open all"
  })
  addEventListener("hashchange", follow)
  filter()
  follow()
}

// Values of a claim's `data-` attribute. A claim has one verdict and one source, but several experiments, separated by spaces.
function valuesOf(claim, name) {
  return name === "experiments" ? claim.dataset[name].split(" ") : [claim.dataset[name]]
}

function headingOf(claim) {
  let element = claim
  while (element.tagName !== "H2") element = element.previousElementSibling
  return element
}
