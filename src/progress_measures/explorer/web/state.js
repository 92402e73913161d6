// The reader's choices. In the explorer they are also in the page's address (#run=seed0&epoch=4300&…), so that a view can be shared.
// - `range` is "all" for all epochs, or "story" for the epochs up to `shortRangeEnd`, the short range.
// - `beside` is the name of a second run that is shown beside the first, or "".
// - `step` is the number of the chosen step of the story (story.js), counted from 1, or 0 if none is chosen.

// The initial pair, a = 17 and b = 45, is an arbitrary example.
const state = { experiment: "", run: "", beside: "", epoch: -1, neuron: 0, head: 0, a: 17, b: 45, range: "story", step: 0 };
const STEP_LEAVING_FIELDS = ["experiment", "run", "beside", "epoch"]; // a choice with one of them, but without `step`, leaves the step
let highlighted = null; // the frequency that the reader points at, whose color stays while all others are pale; null for none
const watchers = [];
let chosenExperiment = null; // an Experiment (data.js); null until the first one is open
let epochs = []; // epochs of the checkpoints in the chosen range, ascending

// Register a function that is called after every change: `watcher(changed)`. The set `changed` has the changed fields of `state`, or only
// "highlighted" or "theme".
function watch(watcher) {
  watchers.push(watcher);
}

// Change some fields of `state`: `choice` has their new values. A value that is invalid is replaced by a valid one.
async function choose(choice) {
  const previous = { ...state };
  if (!("step" in choice) && STEP_LEAVING_FIELDS.some((name) => name in choice)) state.step = 0;
  Object.assign(state, choice);
  if (!HEADER.experiments.some(({ name }) => name === state.experiment)) state.experiment = HEADER.experiments[0].name;
  const requested = state.experiment;
  const experiment = chosenExperiment?.name === requested ? chosenExperiment : await openExperiment(requested);
  if (state.experiment !== requested) return; // another experiment was chosen while this one was opened
  chosenExperiment = experiment;
  makeValid(choice, previous);
  notify(Object.keys(state).filter((name) => state[name] !== previous[name]));
}

function notify(names) {
  if (names.length) for (const watcher of watchers) watcher(new Set(names));
}

// Highlight a frequency in every view; null for none.
function highlight(k) {
  if (k === highlighted) return;
  highlighted = k;
  notify(["highlighted"]);
}

// Replace invalid values of `state` after a choice. If the experiment has changed, `epoch` and `neuron` get default values unless the
// choice has them. `range` does unless the choice has a range or an epoch. Without an epoch in the choice, the step of the story is left.
function makeValid(choice, previous) {
  const { runs } = chosenExperiment;
  const newExperiment = state.experiment !== previous.experiment;
  if (!runs.some(({ name }) => name === state.run)) state.run = runs[0].name;
  if (state.beside === state.run || !runs.some(({ name }) => name === state.beside)) state.beside = "";
  if (newExperiment || state.run !== previous.run) highlighted = null;
  const run = runs.find(({ name }) => name === state.run);
  const end = shortRangeEnd(run);
  if (!["all", "story"].includes(state.range)) state.range = previous.range;
  if (state.range !== "all" && (end === null || (choice.epoch ?? 0) > end)) state.range = "all";
  else if (newExperiment && !("range" in choice) && !("epoch" in choice) && end !== null) state.range = "story";
  epochs = state.range === "all" ? epochsOf(run) : epochsOf(run).filter((epoch) => epoch <= end);
  state.epoch = newExperiment && !("epoch" in choice) ? epochs[0] : epochs[nearest(epochs, state.epoch)];
  state.head = clampIndex(state.head, run.head_count);
  state.neuron = newExperiment && !("neuron" in choice) ? bestExplained(run) : clampIndex(state.neuron, run.neuron_count);
  if (newExperiment && !("epoch" in choice)) state.step = 0;
  state.step = Math.max(0, Math.round(state.step) || 0);
  state.a = clampIndex(state.a, run.operand_count);
  state.b = clampIndex(state.b, run.operand_count);
}

// The epochs of a run's checkpoints, ascending. A run that stopped early has fewer than others.
const epochsOf = ({ last_epoch: lastEpoch }) => chosenExperiment.epochs.filter((epoch) => epoch <= lastEpoch);

// The last epoch of the short range: twice the end of cleanup, rounded up to thousands (`last_plotted_epoch` in analysis/phases.py). It
// is null if the run has no end of cleanup after epoch 1000, or if the range would have fewer than two checkpoints, or all of them.
function shortRangeEnd(run) {
  const cleanup = run.phase_ends.at(-1);
  const end = Math.ceil((2 * cleanup) / 1000) * 1000;
  const all = epochsOf(run);
  const count = all.filter((epoch) => epoch <= end).length;
  return cleanup === null || cleanup <= 1000 || count < 2 || count === all.length ? null : end;
}

// Of the neurons with maps at the selected epochs, the one with the largest fraction of variance explained at the last checkpoint; 0 if
// the cube lacks these maps or the fractions.
function bestExplained(run) {
  if (!chosenExperiment.kept_neurons.length || !chosenExperiment.has("neuron_fraction_explained")) return 0;
  const fraction = chosenExperiment.row("neuron_fraction_explained", chosenExperiment.runs.indexOf(run), epochsOf(run).length - 1);
  return chosenExperiment.kept_neurons.reduce((best, neuron) => (fraction[neuron] > fraction[best] ? neuron : best));
}

// The integer from 0 to count - 1 that is nearest to a number; 0 if the number is invalid or count is 0.
function clampIndex(number, count) {
  return count ? Math.min(Math.max(0, Math.round(number) || 0), count - 1) : 0;
}

// The index of the entry of a list that is nearest to a target.
function nearest(list, target) {
  let best = 0;
  list.forEach((entry, index) => {
    if (Math.abs(entry - target) < Math.abs(list[best] - target)) best = index;
  });
  return best;
}

// Fields of `state` that are numbers.
const NUMERIC_FIELDS = new Set(["epoch", "neuron", "head", "a", "b", "step"]);

// Read choices from a text such as "run=seed0&epoch=4300".
function readChoice(choices) {
  const choice = {};
  for (const [name, text] of new URLSearchParams(choices)) {
    if (NUMERIC_FIELDS.has(name) && text !== "" && Number.isFinite(Number(text))) choice[name] = Number(text);
    else if (Object.hasOwn(state, name) && !NUMERIC_FIELDS.has(name)) choice[name] = text;
  }
  return choice;
}

const choiceInAddress = () => readChoice(location.hash.slice(1));

// The choices as the end of an address. `beside` and `step` are left out if nothing is chosen.
const address = () => `#${new URLSearchParams(Object.entries(state).filter(([name, value]) => value || !["beside", "step"].includes(name)))}`;

let writesAddress = false; // whether the choices are written to the address: true in the explorer, false in a page of text

// Write the choices to the address.
function writeAddress() {
  if (writesAddress && address() !== location.hash) history.replaceState(null, "", address());
}
