// Cards: one view each. A view is an object:
//   id, title, about    what it is, and in a sentence what to see in it
//   needs               the arrays without which it says what is absent
//   reads               what of `state` it depends on, beside experiment and run
//   width               of twelve columns
//   shape               "square", or nothing
//   tools               what can be chosen in it
//   draw(at)            gives { traces, layout, numbers, note }, or { absent: why }
//   chosen(point)       of a click: the choice that it makes
// `at` has the experiment, the places of run and epoch in it, its key frequencies, and their colors.

const views = [];

function addView(view) {
  views.push(view);
}

function now() {
  const run = shown.runs.findIndex(({ name }) => name === state.run);
  const { keys, phases, name } = shown.runs[run];
  return { experiment: shown, state, run, name, keys, phases, color: frequencyColors(keys), epoch: shown.epochs.indexOf(state.epoch) };
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
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

  concerns(changed) {
    return ["experiment", "run", "range", "look", ...this.view.reads].some((name) => changed.has(name));
  }

  draw() {
    this.stale = false;
    const at = now();
    const lacks = this.view.needs.filter((name) => !at.experiment.has(name));
    for (const tool of lacks.length ? [] : this.tools) tool.update(at);
    const { traces, layout: parts, numbers = [], note = "", absent } = lacks.length
      ? { absent: `Not in this cube: ${lacks.join(", ")}. It is not measured of networks of this kind.` }
      : this.view.draw(at);
    this.section.classList.toggle("lacking", lacks.length > 0);
    this.section.classList.toggle("empty", Boolean(absent));
    this.absent.textContent = absent ?? "";
    this.note.textContent = note;
    this.numbers.replaceChildren(...(absent ? [] : numbers).map(numberItem));
    if (!absent) {
      Plotly.react(this.plot, traces, layout(parts), PLOTLY);
      this.plot.setAttribute("aria-label", `${this.view.title}. ${numbers.map(({ label, value }) => `${label} ${value}`).join("; ")}. ${note}`);
      this.listen();
    }
    this.section.dataset.shown = address(); // of what the card shows, for who waits for it
  }

  listen() {
    if (this.listening || !this.view.chosen) return;
    this.listening = true;
    this.plot.on("plotly_click", ({ points }) => {
      const choice = this.view.chosen(points[0], now());
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

// A select of something in `state`, or a number of it: { name, label, options(at) → [[value, text], …] } or { name, label, most(at) }.
function makeTool({ name, label, options, most }) {
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
      } else input.max = most(at);
      input.value = state[name];
    },
  };
}

const cards = [];
let awaited = false;

// Lay out the cards; each is drawn when it can be seen and is not up to date.
function layCards(place) {
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries)
      cards.find(({ section }) => section === target).visible = isIntersecting;
    drawSoon();
  });
  for (const view of views) {
    const card = new Card(view);
    cards.push(card);
    place.append(card.section);
    seen.observe(card.section);
  }
  const renew = (changed) => {
    for (const card of cards) card.stale ||= card.concerns(changed);
    drawSoon();
  };
  watch(renew);
  darkness.addEventListener("change", () => renew(new Set(["look"])));
}

function drawSoon() {
  if (awaited || !shown) return;
  awaited = true;
  requestAnimationFrame(() => {
    awaited = false;
    const due = cards.filter(({ visible, stale }) => visible && stale);
    for (const card of due) card.draw();
    if (due.length && !performance.getEntriesByName("first view").length) performance.mark("first view");
  });
}

// The phases that the rules find: { name, start, end, place }.
function phasesOf(at) {
  return HEADER.phases
    .map((name, place) => ({ name, start: place ? at.phases[place - 1] : 0, end: at.phases[place], place }))
    .filter(({ start, end }) => start !== null && end !== null);
}

// The chosen epoch across a plot, and the phases behind it.
function timeShapes(at) {
  return [
    ...phasesOf(at).map(({ start, end, place }) => ({ type: "rect", layer: "below", yref: "paper", x0: start, x1: end, y0: 0, y1: 1, line: { width: 0 }, fillcolor: style(`--phase-${place}`) })),
    { type: "line", yref: "paper", x0: at.state.epoch, x1: at.state.epoch, y0: 0, y1: 1, line: { color: style("--ink"), width: 1.2 } },
  ];
}

// What is kept at a few epochs only. of: its name at the last checkpoint of every run; the same begun by `moment_` is kept
// of the first run at moments. Gives { name, places, epoch, note }, nearest to the chosen epoch, or null.
function kept(at, of) {
  const { experiment, run, state: { epoch } } = at;
  const moment = `moment_${of}`;
  if (run === experiment.first && experiment.has(moment)) {
    const { moments } = experiment.arrays[moment];
    const place = nearest(moments, epoch);
    return keptAs(moment, [place], moments[place], epoch);
  }
  return experiment.has(of) ? keptAs(of, experiment.arrays[of].dims[0] === "run" ? [run] : [], experiment.epochs.at(-1), epoch) : null;
}

function keptAs(name, places, epoch, wanted) {
  const note = epoch === wanted ? "" : `At epoch ${sayEpoch(epoch)}, the kept one nearest to ${sayEpoch(wanted)}.`;
  return { name, places, epoch, note };
}

// The results of slow functions, the last few of them.
const results = new Map();

function remember(key, make) {
  if (!results.has(key)) {
    if (results.size > 60) results.delete(results.keys().next().value);
    results.set(key, make());
  }
  return results.get(key);
}
