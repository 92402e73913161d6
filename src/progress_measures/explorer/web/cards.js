// Cards. Each card shows one view of the chosen run, and of a second run beside it if one is chosen. A view is an object with these
// fields:
//   id, title, about    element id, title, and sentences on what the view shows
//   needs               arrays that the view requires; if any is missing, the card names the missing ones
//   reads               fields of `state` that the view depends on, besides experiment and runs
//   width               in columns of a grid of twelve
//   shape               "square" or "tall"; absent for a wide plot
//   tools               inputs in the card's head
//   draw(at)            returns { traces, layout, numbers: [{ label, value }, …], note, held }, or { absent: reason }; `held` says why
//                       the view does not follow the slider
//   onClick(point)      returns the change of `state` after a click on a point
//   frequency(point)    returns the frequency that a point stands for; by default the `meta` of its trace
// `at` is the current choice: the experiment, the indices of run and epoch, the run's key frequencies, and their colors.

const views = [];

function addView(view) {
  views.push(view);
}

// The current choice, for a view of the chosen run or of another run.
function currentChoice(runName = state.run) {
  const run = shown.runs.findIndex(({ name }) => name === runName);
  const { keys, phases, name, neurons, heads } = shown.runs[run];
  const ofRun = { ...state, run: name, neuron: clampIndex(state.neuron, neurons), head: clampIndex(state.head, heads) };
  return { experiment: shown, state: ofRun, run, name, keys, phases, color: frequencyColors(keys), epoch: shown.epochs.indexOf(state.epoch) };
}

// A view of one run.
class Pane {
  constructor(view) {
    this.view = view;
    this.title = element("h3");
    this.held = element("p", { class: "held" });
    this.plot = element("div", { class: `plot ${view.shape ?? ""}`, role: "img" });
    this.numbers = element("ul", { class: "numbers" });
    this.note = element("p", { class: "note" });
    this.absent = element("p", { class: "absent" });
    this.section = element("div", { class: "pane" }, this.title, this.held, this.plot, this.absent, this.numbers, this.note);
  }

  draw(runName, missing) {
    this.at = currentChoice(runName);
    const { traces, layout: parts, numbers = [], note = "", held = "", absent = "" } = missing.length
      ? { absent: `Not in this cube: ${missing.join(", ")}. These measures do not apply to its networks.` }
      : this.view.draw(this.at);
    this.traces = absent ? [] : traces;
    this.section.classList.toggle("empty", Boolean(absent));
    this.section.classList.toggle("still", Boolean(held));
    this.title.textContent = state.beside ? runName : "";
    this.absent.textContent = absent;
    this.held.textContent = held;
    this.note.textContent = note;
    this.numbers.replaceChildren(...(absent ? [] : numbers).map(numberItem));
    if (!absent) {
      this.axes = layout(parts);
      Plotly.react(this.plot, traces, this.axes, PLOTLY);
      this.fit();
      this.plot.setAttribute("aria-label", `${this.view.title}. ${numbers.map(({ label, value }) => `${label} ${value}`).join("; ")}. ${held} ${note}`);
      this.listen();
    }
  }

  // Fit the plot to the pane, whose width changes when a second run appears beside it.
  fit() {
    const { width, height } = this.plot._fullLayout;
    if (Math.abs(width - this.plot.clientWidth) > 1 || Math.abs(height - this.plot.clientHeight) > 1) Plotly.Plots.resize(this.plot);
  }

  listen() {
    if (this.listening) return;
    this.listening = true;
    if (this.view.onClick)
      this.plot.on("plotly_click", ({ points }) => {
        const choice = this.view.onClick(points[0], this.at);
        if (choice && "epoch" in choice) stop();
        if (choice) choose(choice);
      });
    const frequency = this.view.frequency ?? (({ data }) => data.meta);
    this.plot.on("plotly_hover", ({ points }) => light(frequency(points[0], this.at) ?? null));
    this.plot.addEventListener("mouseleave", () => light(null));
  }
}

class Card {
  constructor(view) {
    this.view = view;
    this.stale = true;
    this.visible = false;
    this.tools = (view.tools ?? []).map(makeTool);
    this.panes = [new Pane(view)];
    this.body = element("div", { class: "panes" }, this.panes[0].section);
    this.section = element("section", { class: "card", id: view.id, style: `--width: ${view.width}`, "aria-labelledby": `${view.id}-title` },
      element("div", { class: "head" },
        element("h2", { id: `${view.id}-title` }, view.title),
        element("div", { class: "tools" }, ...this.tools.map((tool) => tool.label))),
      element("p", { class: "about" }, view.about),
      this.body,
      element("div", { class: "foot" }, ...saveButtons(this)));
  }

  dependsOn(changed) {
    return ["experiment", "run", "beside", "range", "look", "lit", ...this.view.reads].some((name) => changed.has(name));
  }

  // Make a pane for each run to be shown. This also lays out cards that are not drawn yet, so that scrolling to a view ends there.
  arrange() {
    this.missing = this.view.needs.filter((name) => !shown.has(name));
    this.runs = state.beside && !this.missing.length ? [state.run, state.beside] : [state.run];
    while (this.panes.length < this.runs.length) this.panes.push(new Pane(this.view));
    this.panes.length = this.runs.length;
    this.body.replaceChildren(...this.panes.map(({ section }) => section));
    this.section.classList.toggle("lacking", this.missing.length > 0);
    this.section.classList.toggle("double", this.runs.length > 1);
  }

  draw() {
    this.stale = false;
    for (const tool of this.missing.length ? [] : this.tools) tool.update(currentChoice());
    for (const [index, pane] of this.panes.entries()) pane.draw(this.runs[index], this.missing);
    this.section.dataset.shown = address(); // the choices that the card shows, for tests that wait for them
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

// Add the cards to the page: `place(view)` is the element that receives the card, or null. A card is drawn when it is visible and stale: its content is older than the choice that it depends on.
function layOutCards(place) {
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries)
      cards.find(({ section }) => section === target).visible = isIntersecting;
    drawSoon();
  });
  for (const view of views.filter(place)) {
    const card = new Card(view);
    cards.push(card);
    place(view).append(card.section);
    observer.observe(card.section);
  }
  watch((changed) => {
    const rearranged = ["experiment", "run", "beside"].some((name) => changed.has(name));
    for (const card of cards) {
      if (rearranged) card.arrange();
      card.stale ||= card.dependsOn(changed);
    }
    drawSoon();
  });
  darkness.addEventListener("change", lookChanged);
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
// Returns { name, indices, epoch, note, held }: the name of the array, the indices of the values in it, and their epoch; `held` says
// that the view shows the last checkpoint at every epoch. Returns null if the cube has neither array.
function nearestStored(at, variable) {
  const { experiment, run, state: { epoch } } = at;
  const moment = `moment_${variable}`;
  if (run === experiment.first && experiment.has(moment)) {
    const { moments } = experiment.arrays[moment];
    const index = nearest(moments, epoch);
    const shownEpoch = moments[index];
    const note = shownEpoch === epoch ? "" : `Shown: epoch ${formatEpoch(shownEpoch)}, the stored epoch nearest to ${formatEpoch(epoch)}.`;
    return { name: moment, indices: [index], epoch: shownEpoch, note, held: "" };
  }
  return experiment.has(variable) ? storedLast(at, variable, experiment.arrays[variable].dims[0] === "run" ? [run] : []) : null;
}

// Describe values that are stored for the last checkpoint only.
function storedLast({ experiment, state: { epoch } }, name, indices) {
  const last = experiment.epochs.at(-1);
  const held = last === epoch ? "" : `Does not follow the slider. Stored and shown: only epoch ${formatEpoch(last)}, the last.`;
  return { name, indices, epoch: last, note: "", held };
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
