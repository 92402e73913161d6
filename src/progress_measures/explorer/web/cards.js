// Cards. Each card shows one view of the chosen run and, if a second run is chosen, beside it the same view of the second run. A view
// is an object with these fields:
//   id, title, about    element id, title, and sentences on what the view shows
//   requires            arrays that the view requires; if any is missing, the card names the missing ones
//   reads               fields of `state` that the view depends on, besides experiment, run, beside and range
//   width               in columns of a grid of twelve
//   shape               "square" or "tall"; absent for a wide plot
//   tools               inputs in the card's head, as `makeTool` takes them; absent for none
//   draw(current)       returns { traces, layout, numbers, note, lastOnly }, or { absent: reason } if the view cannot be drawn.
//                       `numbers`, [{ label, value, color, square }, …], are the values that are written below the plot. `color` is
//                       optional: the color of a mark before the label, which is a square if `square` is true. `lastOnly` is a
//                       sentence for a view that does not follow the slider, because its values are stored for the last checkpoint only
//   onClick(point, current)    returns the change of `state` after a click on a point, or null; absent if clicks have no effect
//   frequency(point, current)  returns the frequency that a point stands for, or null; by default the `meta` of its trace
// `current` is the current choice, as `currentChoice` returns it: the experiment, a copy of `state` for the run, the run's index and
// name, the index of the epoch and of the run's last checkpoint, the run's last epoch, the ends of its phases, its key frequencies, a
// function that returns the color of a frequency, and what the header (payload.py) states of the run's task: sign, basis size, number of
// operands, and tokens.

const views = [];

function addView(view) {
  views.push(view);
}

// The current choice, for a view of the chosen run or of another run. If the run has fewer neurons, heads or operands than the chosen
// index requires, or ended before the chosen epoch, its last one takes the place of the chosen one.
function currentChoice(runName = state.run) {
  const { epochs, runs } = chosenExperiment;
  const run = runs.findIndex(({ name }) => name === runName);
  const { keys, phase_ends: phaseEnds, last_epoch: lastEpoch, sign, basis_size: basisSize, operand_count: operandCount, tokens, name, neuron_count: neuronCount, head_count: headCount } = runs[run];
  const last = epochsOf(runs[run]).length - 1;
  const epoch = Math.min(epochs.indexOf(state.epoch), last);
  const ofRun = { ...state, run: name, epoch: epochs[epoch], neuron: clampIndex(state.neuron, neuronCount), head: clampIndex(state.head, headCount), a: clampIndex(state.a, operandCount), b: clampIndex(state.b, operandCount) };
  return { experiment: chosenExperiment, state: ofRun, run, name, keys, phaseEnds, lastEpoch, sign, basisSize, operandCount, tokens, color: frequencyColors(keys), epoch, last };
}

// The part of a card that shows one run.
class Pane {
  constructor(view) {
    this.view = view;
    this.title = element("h3");
    this.lastOnly = element("p", { class: "last-only" });
    this.plot = element("div", { class: `plot ${view.shape ?? ""}`, role: "img" });
    this.numbers = element("ul", { class: "numbers" });
    this.note = element("p", { class: "note" });
    this.absent = element("p", { class: "absent" });
    this.section = element("div", { class: "pane" }, this.title, this.lastOnly, this.plot, this.absent, this.numbers, this.note);
  }

  draw(runName, missing) {
    this.current = currentChoice(runName);
    const { traces, layout: parts, numbers = [], note = "", lastOnly = "", absent = "" } = missing.length
      ? { absent: `Not in this cube: ${missing.join(", ")}. These measures do not apply to its networks, or were left out to save space.` }
      : this.view.draw(this.current);
    this.traces = absent ? [] : traces;
    this.section.classList.toggle("empty", Boolean(absent));
    this.section.classList.toggle("still", Boolean(lastOnly));
    const ended = this.current.state.epoch < state.epoch ? `, ended at epoch ${formatEpoch(this.current.lastEpoch)}; shown: its last checkpoint` : "";
    this.title.textContent = state.beside ? `${runName}${ended}` : "";
    this.absent.textContent = absent;
    this.lastOnly.textContent = lastOnly;
    this.note.textContent = note;
    this.numbers.replaceChildren(...(absent ? [] : numbers).map(numberItem));
    if (!absent) {
      this.axes = layout(parts);
      Plotly.react(this.plot, traces, this.axes, PLOTLY);
      this.fit();
      this.plot.setAttribute("aria-label", `${this.view.title}. ${numbers.map(({ label, value }) => `${label} ${value}`).join("; ")}. ${lastOnly} ${note}`);
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
        const choice = this.view.onClick(points[0], this.current);
        if (choice && "epoch" in choice) stop();
        if (choice) choose(choice);
      });
    const frequency = this.view.frequency ?? (({ data }) => data.meta);
    this.plot.on("plotly_hover", ({ points }) => highlight(frequency(points[0], this.current) ?? null));
    this.plot.addEventListener("mouseleave", () => highlight(null));
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
    return ["experiment", "run", "beside", "range", "theme", "highlighted", ...this.view.reads].some((name) => changed.has(name));
  }

  // Make a pane for each run to be shown, or one pane if arrays are missing. Cards that are not drawn yet thus have their final size,
  // so that scrolling to a view ends at this view.
  makePanes() {
    this.missing = this.view.requires.filter((name) => !chosenExperiment.has(name));
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

// An input for a field of `state`: a select, { name, label, options(current) → [[value, text], …] }, or a number, { name, label, max(current) }.
// Returns { label, update(current) }: the label element with the input in it, and a function that shows the current choice in the input.
function makeTool({ name, label, options, max }) {
  const input = options ? element("select") : element("input", { type: "number", min: 0, inputmode: "numeric" });
  const convert = (text) => (NUMERIC_FIELDS.has(name) ? Number(text) : text);
  input.addEventListener("change", () => choose({ [name]: convert(input.value) }));
  let listed = "";
  return {
    label: element("label", {}, `${label} `, input),
    update(current) {
      if (options) {
        const choices = options(current);
        if (String(choices) !== listed) {
          listed = String(choices);
          input.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
        }
      } else input.max = max(current);
      input.value = state[name];
    },
  };
}

const cards = [];
let drawPending = false;

// Add the cards to the page: `place(view)` returns the element that receives the card of a view, or null. A card is drawn when it is
// visible and stale, which means that a choice that it depends on has changed since it was drawn.
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
    const runsChanged = ["experiment", "run", "beside"].some((name) => changed.has(name));
    for (const card of cards) {
      if (runsChanged) card.makePanes();
      card.stale ||= card.dependsOn(changed);
    }
    drawSoon();
  });
  darkScheme.addEventListener("change", themeChanged);
}

function drawSoon() {
  if (drawPending || !chosenExperiment) return;
  drawPending = true;
  requestAnimationFrame(() => {
    drawPending = false;
    const due = cards.filter(({ visible, stale }) => visible && stale);
    for (const card of due) card.draw();
    if (due.length && !performance.getEntriesByName("first view").length) performance.mark("first view");
  });
}

// The phases of the run: [{ name, start, end, index }, …], without phases whose start or end was not found.
function phasesOf(current) {
  return HEADER.phase_names
    .map((name, index) => ({ name, start: index ? current.phaseEnds[index - 1] : 0, end: current.phaseEnds[index], index }))
    .filter(({ start, end }) => start !== null && end !== null);
}

// Shapes for a plot over epochs: a line at the chosen epoch, and the phases as bands behind the curves.
function timeShapes(current) {
  return [
    ...phasesOf(current).map(({ start, end, index }) => ({ type: "rect", layer: "below", yref: "paper", x0: start, x1: end, y0: 0, y1: 1, line: { width: 0 }, fillcolor: style(`--phase-${index}`) })),
    { type: "line", yref: "paper", x0: current.state.epoch, x1: current.state.epoch, y0: 0, y1: 1, line: { color: style("--ink"), width: 1.2 } },
  ];
}

// Find the stored values nearest to the chosen epoch. The array `moment_${variable}` has the values at the selected epochs of the first
// run. The array `variable` has the values at the last checkpoint, of every run or of the first run only.
// Returns { name, indices, epoch, note, lastOnly }: the name of the array, the indices of the values in it, their epoch, and two texts
// for the view, which may be empty. Returns null if the cube has neither array.
function nearestStored(current, variable) {
  const { experiment, run, state: { epoch } } = current;
  const moment = `moment_${variable}`;
  if (run === experiment.first_run && experiment.has(moment)) {
    const { moments } = experiment.arrays[moment];
    const index = nearest(moments, epoch);
    const shownEpoch = moments[index];
    const note = shownEpoch === epoch ? "" : `Shown: epoch ${formatEpoch(shownEpoch)}, the stored epoch nearest to ${formatEpoch(epoch)}.`;
    return { name: moment, indices: [index], epoch: shownEpoch, note, lastOnly: "" };
  }
  return experiment.has(variable) ? storedLast(current, variable, experiment.arrays[variable].dims[0] === "run" ? [run] : []) : null;
}

// Describe values that are stored for the run's last checkpoint only, with the same fields as in `nearestStored`.
function storedLast({ lastEpoch, state: { epoch } }, name, indices) {
  const lastOnly = lastEpoch === epoch ? "" : `Does not follow the slider. Stored and shown: only epoch ${formatEpoch(lastEpoch)}, the last.`;
  return { name, indices, epoch: lastEpoch, note: "", lastOnly };
}

// The rows of an array for the tokens of the run, its operands in the order in which it is measured and `=`; `width` is the length of a
// row. In a cube of several primes, the array also has rows for operands that the run lacks, which are NaN.
function ofTokens({ tokens }, entries, width = 1) {
  return tokens.length ? Float64Array.from({ length: tokens.length * width }, (_, index) => entries[tokens[Math.floor(index / width)] * width + (index % width)]) : entries;
}

// The entries for the Fourier components of the run. In a cube of several primes, those of higher frequencies are NaN.
function ofComponents({ basisSize }, entries) {
  return entries.slice(0, componentNames(basisSize).length);
}

// The results of slow functions, by key. If there are more than 60, the one that was not used for longest is deleted.
const cachedResults = new Map();

function cached(key, make) {
  const result = cachedResults.has(key) ? cachedResults.get(key) : make();
  cachedResults.delete(key); // a Map has the order of insertion
  cachedResults.set(key, result);
  if (cachedResults.size > 60) cachedResults.delete(cachedResults.keys().next().value);
  return result;
}
