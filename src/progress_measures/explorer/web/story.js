// The story of a run in five steps. A step chooses an epoch and what belongs to it, and scrolls to the view that shows it. Its sentence
// has the values of the cube. A step is an object with these fields:
//   title     a few words
//   view      the view that shows it
//   lacks(at) why the step cannot be told of this run, or ""
//   choice(at)   the change of `state`
//   sentence(at) what is seen at this choice

const STEPS = [
  {
    title: "Memorize",
    view: "losses",
    lacks: (at) => phaseLacks(at, 0),
    choice: (at) => ({ epoch: at.phases[0], beside: "" }),
    sentence: (at) => `By epoch ${formatEpoch(at.phases[0])} train loss has fallen to ${valueAt(at, "train_loss", 0)} nat; test loss is ${valueAt(at, "test_loss", 0)} nat. ${accuracies(at)}`,
  },
  {
    title: "Form circuits",
    view: "losses",
    lacks: (at) => phaseLacks(at, 1) || missing(at, "restricted_loss", "excluded_loss"),
    choice: (at) => ({ epoch: at.phases[1], beside: "" }),
    sentence: (at) => `From epoch ${formatEpoch(at.phases[0])} to ${formatEpoch(at.phases[1])} restricted loss (key frequencies only) goes from ${change(at, "restricted_loss", 1)} nat, excluded loss (key frequencies removed) from ${change(at, "excluded_loss", 1)}; test loss from ${change(at, "test_loss", 1)}.`,
  },
  {
    title: "Clean up",
    view: "sparsity",
    lacks: (at) => phaseLacks(at, 2),
    choice: (at) => ({ epoch: at.phases[2], beside: "" }),
    sentence: (at) => `From epoch ${formatEpoch(at.phases[1])} to ${formatEpoch(at.phases[2])} the sum of squared weights goes from ${change(at, "sum_of_squared_weights", 2)}, and test loss from ${change(at, "test_loss", 2)} nat.`,
  },
  {
    title: "How it adds",
    view: "interference",
    lacks: (at) => missing(at, "cosine_coefficient") || (at.keys.length ? "" : "This run has no key frequencies."),
    choice: (at) => ({ epoch: shown.epochs.at(-1), range: "all", beside: "", a: 17, b: 45, neuron: bestExplained(shown.runs[at.run]) }),
    sentence(at) {
      const right = answerOf(at);
      const sum = sumOf(keyCosines({ ...at, epoch: shown.epochs.length - 1 }, right));
      const best = sum.indexOf(Math.max(...sum));
      return `${at.keys.length} waves, one for each key frequency, meet at the right answer, ${sumText(at, right)}; elsewhere they are out of step. Their sum is largest at ${best}. Try other a and b.`;
    },
  },
  {
    title: "Compare seeds",
    view: "norms-W_E",
    lacks: (at) => missing(at, "W_E_fourier_norm") || (otherRun(at) ? "" : "This experiment has no second run with key frequencies."),
    choice: (at) => ({ epoch: shown.epochs.at(-1), range: "all", beside: otherRun(at) }),
    sentence(at) {
      const other = currentChoice(otherRun(at));
      return `${at.name} has the key frequencies ${at.keys.join(", ")}; ${other.name} has ${other.keys.join(", ")}. Every view shows both runs side by side.`;
    },
  },
];

// The first other run with key frequencies, or undefined.
const otherRun = (at) => (at.keys.length ? shown.runs.find(({ name, keys }) => name !== at.name && keys.length)?.name : undefined);

const phaseLacks = (at, index) => (phasesOf(at).some((phase) => phase.index === index) ? "" : `The rule finds no end of ${HEADER.phases[index]} in this run.`);

function missing(at, ...names) {
  const lacking = names.filter((name) => !at.experiment.has(name));
  return lacking.length ? `Not in this cube: ${lacking.join(", ")}.` : "";
}

// The value of a curve at the end of a phase.
const valueAt = (at, name, phase) => formatNumber(at.experiment.at(name, at.run, nearest(shown.epochs, at.phases[phase])));

// The values of a curve at the start and at the end of a phase.
const change = (at, name, phase) => `${valueAt(at, name, phase - 1)} to ${valueAt(at, name, phase)}`;

function accuracies(at) {
  if (!at.experiment.has("train_accuracy") || !at.experiment.has("test_accuracy")) return "";
  const [train, test] = ["train", "test"].map((split) => formatPercent(at.experiment.at(`${split}_accuracy`, at.run, nearest(shown.epochs, at.phases[0]))));
  return `The network answers ${train} of the training pairs and ${test} of the test pairs.`;
}

const steps = document.getElementById("steps");
const toldText = element("p", { "aria-live": "polite" });
const nextStep = element("button", { type: "button" });
const leaveStory = element("button", { type: "button", class: "leave", "aria-label": "Leave the story" }, "×");
const told = element("div", { class: "told", hidden: "" }, toldText, nextStep, leaveStory); // the chosen step, in the time bar

async function takeStep(number) {
  const step = STEPS[number - 1];
  const at = currentChoice();
  if (!step || step.lacks(at)) return;
  stop();
  await choose({ ...step.choice(at), step: number });
  document.getElementById(step.view).scrollIntoView({ block: narrow.matches ? "start" : "center", behavior: reducedMotion.matches ? "auto" : "smooth" });
}

// The number of the first step after `number` that can be told of the chosen run; 0 if there is none.
const stepAfter = (number) => 1 + STEPS.findIndex((step, index) => index >= number && !step.lacks(currentChoice()));

function stepButton(step, index) {
  const at = currentChoice();
  const lacks = step.lacks(at);
  const text = lacks || step.sentence(at);
  const button = element("button", { type: "button", ...(lacks ? { disabled: "" } : {}), ...(state.step === index + 1 ? { "aria-current": "step" } : {}) },
    element("b", {}, `${index + 1}  ${step.title}`), element("span", {}, text));
  button.addEventListener("click", () => takeStep(index + 1));
  return element("li", {}, button);
}

function showStory(changed) {
  if (!["experiment", "run", "step", "a", "b"].some((name) => changed.has(name))) return;
  const focused = [...steps.children].findIndex((item) => item.contains(document.activeElement));
  steps.replaceChildren(...STEPS.map(stepButton));
  steps.children[focused]?.firstChild.focus();
  for (const { section, view } of cards) section.classList.toggle("told-here", view.id === STEPS[state.step - 1]?.view);
  told.hidden = !STEPS[state.step - 1];
  if (told.hidden) return;
  const { title, sentence } = STEPS[state.step - 1];
  toldText.replaceChildren(element("b", {}, `${state.step}  ${title}.`), ` ${sentence(currentChoice())}`);
  const next = stepAfter(state.step);
  nextStep.hidden = !next;
  nextStep.textContent = next ? `${next}  ${STEPS[next - 1].title}` : "";
}

function startStory() {
  document.getElementById("time").prepend(told);
  nextStep.addEventListener("click", () => takeStep(stepAfter(state.step)));
  leaveStory.addEventListener("click", () => choose({ step: 0 }));
  watch(showStory);
}
