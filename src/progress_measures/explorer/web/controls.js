// Inputs for experiment and run, the summary of the run, and the keyboard.

const experimentSelect = document.getElementById("experiment");
const runSelect = document.getElementById("run");
const besideSelect = document.getElementById("beside");
let keyRepeats = false; // true while a key that is held down repeats

function showChoices(changed) {
  if (changed.has("experiment")) {
    runSelect.replaceChildren(...chosenExperiment.runs.map(({ name }) => element("option", { value: name }, name)));
    const doubts = document.getElementById("doubts");
    doubts.hidden = !chosenExperiment.doubts.length;
    doubts.textContent = `DOUBTFUL import of ${chosenExperiment.name}: ${chosenExperiment.doubts.join("; ")}.`;
  }
  experimentSelect.value = state.experiment;
  runSelect.value = state.run;
  if (changed.has("experiment") || changed.has("run"))
    besideSelect.replaceChildren(element("option", { value: "" }, "–"), ...chosenExperiment.runs.filter(({ name }) => name !== state.run).map(({ name }) => element("option", { value: name }, name)));
  besideSelect.value = state.beside;
  besideSelect.disabled = chosenExperiment.runs.length < 2;
  if (changed.has("experiment") || changed.has("run")) {
    const { interval } = chosenExperiment;
    document.getElementById("title").textContent = `${chosenExperiment.title}${interval > 1 ? `, one in ${interval} checkpoints` : ""}: summary of the run`;
    document.getElementById("summary").textContent = `${state.run}: ${chosenExperiment.runs[currentChoice().run].summary}`;
  }
  document.getElementById("printed").textContent = `${state.experiment}, ${[state.run, state.beside].filter(Boolean).join(" and ")}, epoch ${formatEpoch(state.epoch)}`;
  if (!playback && !dragging && !keyRepeats) writeAddress(); // browsers reject an address that changes at every frame
}

// Change a field of `state`, an index below `count`, by a number of steps; the first value follows the last.
const cycle = (name, count, by) => choose({ [name]: count ? (state[name] + by + count) % count : 0 });

function stepRun(by) {
  const index = currentChoice().run + by;
  if (chosenExperiment.runs[index]) choose({ run: chosenExperiment.runs[index].name });
}

// Show the next other run beside the chosen one; after the last, none.
function cycleBeside() {
  const others = ["", ...chosenExperiment.runs.map(({ name }) => name).filter((name) => name !== state.run)];
  return choose({ beside: others[(others.indexOf(state.beside) + 1) % others.length] });
}

// Choose the next neuron, or the previous one if `by` is -1, among those with maps at the selected epochs; among all neurons if the cube
// has no such maps.
function stepNeuron(by) {
  const neurons = chosenExperiment.kept_neurons;
  if (!neurons.length) return cycle("neuron", chosenExperiment.runs[currentChoice().run].neuron_count, by);
  const index = neurons.indexOf(state.neuron);
  const next = index < 0 && by < 0 ? neurons.length - 1 : index + by; // a neuron without maps is before the first and after the last
  return choose({ neuron: neurons[(next + neurons.length) % neurons.length] });
}

const KEYS = {
  ArrowLeft: (shift) => moveTime(shift ? -10 : -1),
  ArrowRight: (shift) => moveTime(shift ? 10 : 1),
  Home: () => choose({ epoch: epochs[0] }),
  End: () => choose({ epoch: epochs.at(-1) }),
  " ": () => (playback ? stop() : play()),
  "[": () => stepRun(-1),
  "]": () => stepRun(1),
  n: () => stepNeuron(1),
  N: () => stepNeuron(-1),
  h: () => cycle("head", chosenExperiment.runs[currentChoice().run].head_count, 1),
  H: () => cycle("head", chosenExperiment.runs[currentChoice().run].head_count, -1),
  c: () => cycleBeside(),
  ...Object.fromEntries(STEPS.map((_, index) => [String(index + 1), () => takeStep(index + 1)])),
  // Another pair. The formula has no meaning; it visits pairs in an order without a visible pattern.
  p: () => choose({ a: (state.a * 5 + 7) % (currentChoice().operandCount || 1), b: (state.b * 3 + 11) % (currentChoice().operandCount || 1) }),
};
const TIME_KEYS = new Set(["ArrowLeft", "ArrowRight", "Home", "End"]);

function onKeydown(event) {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  if (target.closest("select, input:not(#slider)") || (event.key === " " && target.closest("button, summary, a"))) return;
  event.preventDefault();
  keyRepeats = event.repeat;
  if (TIME_KEYS.has(event.key)) stop();
  action(event.shiftKey);
}

function startControls() {
  writesAddress = true;
  experimentSelect.replaceChildren(...HEADER.experiments.map(({ name }) => element("option", { value: name }, name)));
  experimentSelect.addEventListener("change", () => choose({ experiment: experimentSelect.value }));
  runSelect.addEventListener("change", () => choose({ run: runSelect.value }));
  besideSelect.addEventListener("change", () => choose({ beside: besideSelect.value }));
  document.addEventListener("keydown", onKeydown);
  document.addEventListener("keyup", () => {
    if (keyRepeats) {
      keyRepeats = false;
      writeAddress();
    }
  });
  addEventListener("hashchange", () => {
    stop();
    choose(choiceInAddress());
  });
  watch(showChoices);
}
