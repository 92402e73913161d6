// The choice of experiment and run, the summary of the run, and the keyboard.

const experiments = document.getElementById("experiment");
const runs = document.getElementById("run");
const beside = document.getElementById("beside");
let keyRepeats = false; // true while a key is held down

function showChoices(changed) {
  if (changed.has("experiment")) {
    runs.replaceChildren(...shown.runs.map(({ name }) => element("option", { value: name }, name)));
    const doubts = document.getElementById("doubts");
    doubts.hidden = !shown.doubts.length;
    doubts.textContent = `DOUBTFUL import of ${shown.name}: ${shown.doubts.join("; ")}.`;
  }
  experiments.value = state.experiment;
  runs.value = state.run;
  if (changed.has("experiment") || changed.has("run"))
    beside.replaceChildren(element("option", { value: "" }, "–"), ...shown.runs.filter(({ name }) => name !== state.run).map(({ name }) => element("option", { value: name }, name)));
  beside.value = state.beside;
  beside.disabled = shown.runs.length < 2;
  if (changed.has("experiment") || changed.has("run")) {
    const interval = Math.round((shown.checkpoints - 1) / (shown.epochs.length - 1));
    document.getElementById("title").textContent = `${shown.title}${interval > 1 ? `, every ${interval}th checkpoint` : ""}: summary of the run`;
    document.getElementById("words").textContent = `${state.run}: ${shown.runs[currentChoice().run].words}`;
  }
  document.getElementById("printed").textContent = `${state.experiment}, ${[state.run, state.beside].filter(Boolean).join(" and ")}, epoch ${formatEpoch(state.epoch)}`;
  if (!playing && !dragging && !keyRepeats) toAddress(); // browsers reject an address that changes at every frame
}

// Step through the `count` values of a field of `state`, from the last to the first again.
const cycle = (name, count, by) => choose({ [name]: count ? (state[name] + by + count) % count : 0 });

function stepRun(by) {
  const index = currentChoice().run + by;
  if (shown.runs[index]) choose({ run: shown.runs[index].name });
}

// Show the next other run beside the chosen one; after the last, none.
function cycleBeside() {
  const others = ["", ...shown.runs.map(({ name }) => name).filter((name) => name !== state.run)];
  return choose({ beside: others[(others.indexOf(state.beside) + 1) % others.length] });
}

// Choose the next neuron whose maps are stored over time; in a cube without such neurons, the next neuron.
function stepNeuron(by) {
  const neurons = shown.kept_neurons;
  if (!neurons.length) return cycle("neuron", shown.runs[currentChoice().run].neurons, by);
  const index = neurons.indexOf(state.neuron);
  return choose({ neuron: neurons[(index + by + neurons.length) % neurons.length] });
}

const KEYS = {
  ArrowLeft: (shift) => step(shift ? -10 : -1),
  ArrowRight: (shift) => step(shift ? 10 : 1),
  Home: () => choose({ epoch: epochs[0] }),
  End: () => choose({ epoch: epochs.at(-1) }),
  " ": () => (playing ? stop() : play()),
  "[": () => stepRun(-1),
  "]": () => stepRun(1),
  n: () => stepNeuron(1),
  N: () => stepNeuron(-1),
  h: () => cycle("head", shown.runs[currentChoice().run].heads, 1),
  H: () => cycle("head", shown.runs[currentChoice().run].heads, -1),
  c: () => cycleBeside(),
  ...Object.fromEntries(STEPS.map((_, index) => [String(index + 1), () => takeStep(index + 1)])),
  p: () => choose({ a: (state.a * 5 + 7) % (shown.numbers || 1), b: (state.b * 3 + 11) % (shown.numbers || 1) }),
};
const TIME_KEYS = new Set(["ArrowLeft", "ArrowRight", "Home", "End"]);

function pressed(event) {
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
  sharesAddress = true;
  experiments.replaceChildren(...HEADER.experiments.map(({ name }) => element("option", { value: name }, name)));
  experiments.addEventListener("change", () => choose({ experiment: experiments.value }));
  runs.addEventListener("change", () => choose({ run: runs.value }));
  beside.addEventListener("change", () => choose({ beside: beside.value }));
  document.addEventListener("keydown", pressed);
  document.addEventListener("keyup", () => {
    if (keyRepeats) {
      keyRepeats = false;
      toAddress();
    }
  });
  addEventListener("hashchange", () => {
    stop();
    choose(fromAddress());
  });
  watch(showChoices);
}
