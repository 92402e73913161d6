// What is chosen. It is kept in the address (#run=seed0&epoch=4300&…), so that a view can be shared.

const state = { experiment: "", run: "", epoch: -1, neuron: 0, head: 0, a: 17, b: 45, range: "story" };
const watchers = [];
let shown = null; // the experiment that is shown
let epochs = []; // of the range that is shown: all of them, or those of the run's story

// Be told of every change: `watcher(changed)`, with the names of what has changed.
function watch(watcher) {
  watchers.push(watcher);
}

// Choose something else; what makes no sense is brought to what does.
async function choose(choice) {
  const before = { ...state };
  Object.assign(state, choice);
  if (!HEADER.experiments.some(({ name }) => name === state.experiment)) state.experiment = HEADER.experiments[0].name;
  const wanted = state.experiment;
  const experiment = shown?.name === wanted ? shown : await openExperiment(wanted);
  if (state.experiment !== wanted) return; // another was chosen meanwhile
  shown = experiment;
  settle(choice, before);
  const changed = new Set(Object.keys(state).filter((name) => state[name] !== before[name]));
  if (changed.size) for (const watcher of watchers) watcher(changed);
}

function settle(choice, before) {
  const { runs, numbers } = shown;
  const another = state.experiment !== before.experiment;
  if (!runs.some(({ name }) => name === state.run)) state.run = runs[0].name;
  const run = runs.find(({ name }) => name === state.run);
  const end = storyEnd(run);
  if (state.range !== "all" && (end === null || (choice.epoch ?? 0) > end)) state.range = "all";
  else if (another && !("range" in choice) && !("epoch" in choice) && end !== null) state.range = "story";
  epochs = state.range === "all" ? shown.epochs : shown.epochs.filter((epoch) => epoch <= end);
  state.epoch = another && !("epoch" in choice) ? epochs.at(-1) : epochs[nearest(epochs, state.epoch)];
  state.head = within(state.head, run.heads);
  state.neuron = another && !("neuron" in choice) ? clearest(run) : within(state.neuron, run.neurons);
  state.a = within(state.a, numbers);
  state.b = within(state.b, numbers);
}

// The epoch by which a run's story is told: twice the end of its cleanup, in thousands; null where that is not sooner
// than the last (as in figures/style.py).
function storyEnd({ phases }) {
  const cleanup = phases.at(-1);
  const end = Math.ceil((2 * cleanup) / 1000) * 1000;
  const told = shown.epochs.filter((epoch) => epoch <= end).length;
  return cleanup === null || cleanup <= 1000 || told < 2 || told === shown.epochs.length ? null : end;
}

// Of the neurons whose maps are kept, the one that its frequency explains best in the end.
function clearest(run) {
  if (!shown.kept_neurons.length || !shown.has("neuron_fraction_explained")) return 0;
  const share = shown.row("neuron_fraction_explained", shown.runs.indexOf(run), shown.epochs.length - 1);
  return shown.kept_neurons.reduce((best, neuron) => (share[neuron] > share[best] ? neuron : best));
}

function within(number, count) {
  return count ? Math.min(Math.max(0, Math.round(number) || 0), count - 1) : 0;
}

// The place of the number in an ascending list that is nearest to one.
function nearest(numbers, wanted) {
  let best = 0;
  numbers.forEach((number, place) => {
    if (Math.abs(number - wanted) < Math.abs(numbers[best] - wanted)) best = place;
  });
  return best;
}

const NUMBERS = new Set(["epoch", "neuron", "head", "a", "b"]);

function fromAddress() {
  const choice = {};
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    if (NUMBERS.has(name) && text !== "" && Number.isFinite(Number(text))) choice[name] = Number(text);
    else if (name in state && !NUMBERS.has(name)) choice[name] = text;
  }
  return choice;
}

const address = () => `#${new URLSearchParams(state)}`;

function toAddress() {
  if (address() !== location.hash) history.replaceState(null, "", address());
}
