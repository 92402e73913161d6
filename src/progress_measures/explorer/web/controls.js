// Experiment and run, the run in words, and the keys.

const experiments = document.getElementById("experiment");
const runs = document.getElementById("run");
let held = false; // a key that repeats

function showChoices(changed) {
  if (changed.has("experiment"))
    runs.replaceChildren(...shown.runs.map(({ name }) => element("option", { value: name }, name)));
  experiments.value = state.experiment;
  runs.value = state.run;
  if (changed.has("experiment") || changed.has("run")) {
    const every = Math.round((shown.checkpoints - 1) / (shown.epochs.length - 1));
    document.getElementById("title").textContent = `${shown.title}${every > 1 ? `, every ${every}th checkpoint` : ""}, in words`;
    document.getElementById("words").textContent = `${state.run}: ${shown.runs[now().run].words}`;
  }
  if (!playing && !dragging && !held) toAddress(); // browsers refuse an address that changes at every frame
}

const another = (name, count, by) => choose({ [name]: count ? (state[name] + by + count) % count : 0 });

function anotherRun(by) {
  const place = now().run + by;
  if (shown.runs[place]) choose({ run: shown.runs[place].name });
}

// The next of the neurons whose maps are kept over time; of a run without, the next neuron.
function anotherNeuron(by) {
  const neurons = shown.kept_neurons;
  if (!neurons.length) return another("neuron", shown.runs[now().run].neurons, by);
  const place = neurons.indexOf(state.neuron);
  return choose({ neuron: neurons[(place + by + neurons.length) % neurons.length] });
}

const KEYS = {
  ArrowLeft: (many) => step(many ? -10 : -1),
  ArrowRight: (many) => step(many ? 10 : 1),
  Home: () => choose({ epoch: epochs[0] }),
  End: () => choose({ epoch: epochs.at(-1) }),
  " ": () => (playing ? stop() : play()),
  "[": () => anotherRun(-1),
  "]": () => anotherRun(1),
  n: () => anotherNeuron(1),
  N: () => anotherNeuron(-1),
  h: () => another("head", shown.runs[now().run].heads, 1),
  H: () => another("head", shown.runs[now().run].heads, -1),
  p: () => choose({ a: (state.a * 5 + 7) % (shown.numbers || 1), b: (state.b * 3 + 11) % (shown.numbers || 1) }),
};
const TIME_KEYS = new Set(["ArrowLeft", "ArrowRight", "Home", "End"]);

function pressed(event) {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  if (target.closest("select, input:not(#slider)") || (event.key === " " && target.closest("button, summary, a"))) return;
  event.preventDefault();
  held = event.repeat;
  if (TIME_KEYS.has(event.key)) stop();
  action(event.shiftKey);
}

function startControls() {
  experiments.replaceChildren(...HEADER.experiments.map(({ name }) => element("option", { value: name }, name)));
  experiments.addEventListener("change", () => choose({ experiment: experiments.value }));
  runs.addEventListener("change", () => choose({ run: runs.value }));
  document.addEventListener("keydown", pressed);
  document.addEventListener("keyup", () => {
    if (held) {
      held = false;
      toAddress();
    }
  });
  addEventListener("hashchange", () => {
    stop();
    choose(fromAddress());
  });
  document.getElementById("story").open = !narrow.matches;
  watch(showChoices);
}
