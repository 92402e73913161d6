// Cards. Each card shows one view. A view is an object with these fields:
//   id, title, about    element id, title, and sentences on what the view shows
//   needs               arrays that the view requires; if any is missing, the card names the missing ones
//   reads               fields of `state` that the view depends on, besides experiment and run
//   width               in columns of a grid of twelve
//   shape               "square" or "tall"; absent for a wide plot
//   tools               inputs in the card's head
//   draw(at)            returns { traces, layout, numbers: [{ label, value }, …], note }, or { absent: reason }
//   onClick(point)      returns the change of `state` after a click on a point
// `at` is the current choice: the experiment, the indices of run and epoch, the run's key frequencies, and their colors.

const views = [];

function addView(view) {
  views.push(view);
}

function currentChoice() {
  const run = shown.runs.findIndex(({ name }) => name === state.run);
  const { keys, phases, name } = shown.runs[run];
  return { experiment: shown, state, run, name, keys, phases, color: frequencyColors(keys), epoch: shown.epochs.indexOf(state.epoch) };
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

class Card {
  constructor(view) {
    this.view = view;
    this.stale = true;
    this.visible = false;
    this.tools = (view.tools ?? []).map(makeTool);
    this.plot = element("div", { class: `plot ${view.shape ?? ""}`, role: "img" });
    this.numbers = element("ul", { class: "numbers" });
    this.note = element("p", { class: "note" });
    this.absent = element("p", { class: "absent" });
    this.section = element("section", { class: "card", id: view.id, style: `--width: ${view.width}`, "aria-labelledby": `${view.id}-title` },
      element("div", { class: "head" },
        element("h2", { id: `${view.id}-title` }, view.title),
        element("div", { class: "tools" }, ...this.tools.map((tool) => tool.label))),
      element("p", { class: "about" }, view.about),
      this.plot, this.absent, this.numbers, this.note);
  }

  dependsOn(changed) {
    return ["experiment", "run", "range", "look", ...this.view.reads].some((name) => changed.has(name));
  }

  draw() {
    this.stale = false;
    const at = currentChoice();
    const missing = this.view.needs.filter((name) => !at.experiment.has(name));
    for (const tool of missing.length ? [] : this.tools) tool.update(at);
    const { traces, layout: parts, numbers = [], note = "", absent } = missing.length
      ? { absent: `Not in this cube: ${missing.join(", ")}. These measures do not apply to its networks.` }
      : this.view.draw(at);
    this.section.classList.toggle("lacking", missing.length > 0);
    this.section.classList.toggle("empty", Boolean(absent));
    this.absent.textContent = absent ?? "";
    this.note.textContent = note;
    this.numbers.replaceChildren(...(absent ? [] : numbers).map(numberItem));
    if (!absent) {
      Plotly.react(this.plot, traces, layout(parts), PLOTLY);
      this.plot.setAttribute("aria-label", `${this.view.title}. ${numbers.map(({ label, value }) => `${label} ${value}`).join("; ")}. ${note}`);
      this.listen();
    }
    this.section.dataset.shown = address(); // the choices that the card shows, for tests that wait for them
  }

  listen() {
    if (this.listening || !this.view.onClick) return;
    this.listening = true;
    this.plot.on("plotly_click", ({ points }) => {
      const choice = this.view.onClick(points[0], currentChoice());
      if (choice && "epoch" in choice) stop();
      if (choice) choose(choice);
    });
  }
}

function numberItem({ label, value, color, square }) {
  const item = element("li", {}, element("span", {}, label), element("b", {}, value));
  if (color) item.prepend(element("i", { class: square ? "square" : "", style: `background: ${color}`, "aria-hidden": "true" }));
  return item;
}

// An input for a field of `state`: a select, { name, label, options(at) → [[value, text], …] }, or a number, { name, label, max(at) }.
function makeTool({ name, label, options, max }) {
  const input = options ? element("select") : element("input", { type: "number", min: 0, inputmode: "numeric" });
  const convert = (text) => (NUMBERS.has(name) ? Number(text) : text);
  input.addEventListener("change", () => choose({ [name]: convert(input.value) }));
  let listed = "";
  return {
    label: element("label", {}, `${label} `, input),
    update(at) {
      if (options) {
        const choices = options(at);
        if (String(choices) !== listed) {
          listed = String(choices);
          input.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
        }
      } else input.max = max(at);
      input.value = state[name];
    },
  };
}

const cards = [];
let drawPending = false;

// Add the cards to the page. A card is drawn when it is visible and stale: its content is older than the choice that it depends on.
function layOutCards(container) {
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries)
      cards.find(({ section }) => section === target).visible = isIntersecting;
    drawSoon();
  });
  for (const view of views) {
    const card = new Card(view);
    cards.push(card);
    container.append(card.section);
    observer.observe(card.section);
  }
  const markStale = (changed) => {
    for (const card of cards) card.stale ||= card.dependsOn(changed);
    drawSoon();
  };
  watch(markStale);
  darkness.addEventListener("change", () => markStale(new Set(["look"])));
}

function drawSoon() {
  if (drawPending || !shown) return;
  drawPending = true;
  requestAnimationFrame(() => {
    drawPending = false;
    const due = cards.filter(({ visible, stale }) => visible && stale);
    for (const card of due) card.draw();
    if (due.length && !performance.getEntriesByName("first view").length) performance.mark("first view");
  });
}

// The phases of the chosen run: [{ name, start, end, index }, …], without phases that have no start or end.
function phasesOf(at) {
  return HEADER.phases
    .map((name, index) => ({ name, start: index ? at.phases[index - 1] : 0, end: at.phases[index], index }))
    .filter(({ start, end }) => start !== null && end !== null);
}

// Shapes for a plot over epochs: a line at the chosen epoch, and the phases as bands behind the curves.
function timeShapes(at) {
  return [
    ...phasesOf(at).map(({ start, end, index }) => ({ type: "rect", layer: "below", yref: "paper", x0: start, x1: end, y0: 0, y1: 1, line: { width: 0 }, fillcolor: style(`--phase-${index}`) })),
    { type: "line", yref: "paper", x0: at.state.epoch, x1: at.state.epoch, y0: 0, y1: 1, line: { color: style("--ink"), width: 1.2 } },
  ];
}

// Find the stored values nearest to the chosen epoch. The array `moment_${variable}` has the selected epochs of the first run; the
// array `variable` has only the last checkpoint, of every run or of the first.
// Returns { name, indices, epoch, note }: the name of the array, the indices of the values in it, and their epoch. Returns null if
// the cube has neither array.
function nearestStored(at, variable) {
  const { experiment, run, state: { epoch } } = at;
  const moment = `moment_${variable}`;
  if (run === experiment.first && experiment.has(moment)) {
    const { moments } = experiment.arrays[moment];
    const index = nearest(moments, epoch);
    return storedAt(moment, [index], moments[index], epoch);
  }
  return experiment.has(variable) ? storedAt(variable, experiment.arrays[variable].dims[0] === "run" ? [run] : [], experiment.epochs.at(-1), epoch) : null;
}

// Describe stored values for `nearestStored`; the note names their epoch if it is not the chosen one.
function storedAt(name, indices, epoch, chosen) {
  const note = epoch === chosen ? "" : `Shown: epoch ${formatEpoch(epoch)}, the stored epoch nearest to ${formatEpoch(chosen)}.`;
  return { name, indices, epoch, note };
}

// A cache of the last 60 results of slow functions, by key.
const results = new Map();

function cached(key, make) {
  if (!results.has(key)) {
    if (results.size > 60) results.delete(results.keys().next().value);
    results.set(key, make());
  }
  return results.get(key);
}
