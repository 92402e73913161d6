// The story: five steps that explain a run. A step chooses an epoch and other fields of `state`, and scrolls to a view. Its sentence
// contains values of the cube. A step is an object with these fields; `current` is the current choice (cards.js):
//   title              a few words
//   view               the id of the view
//   obstacle(current)  why the step does not apply to this run, or ""
//   choice(current)    the change of `state`
//   sentence(current)  what the view shows after this change

const STEPS = [
  {
    title: "Memorize",
    view: "losses",
    obstacle: (current) => phaseObstacle(current, 0),
    choice: (current) => ({ epoch: current.phaseEnds[0], beside: "" }),
    sentence: (current) => `By epoch ${formatEpoch(current.phaseEnds[0])} train loss has fallen to ${valueText(current, "train_loss", 0)} nat; test loss is ${valueText(current, "test_loss", 0)} nat. ${accuracies(current)}`,
  },
  {
    title: "Form circuits",
    view: "losses",
    obstacle: (current) => phaseObstacle(current, 1) || missingArrays(current, "restricted_loss", "excluded_loss"),
    choice: (current) => ({ epoch: current.phaseEnds[1], beside: "" }),
    sentence: (current) => `From epoch ${formatEpoch(current.phaseEnds[0])} to ${formatEpoch(current.phaseEnds[1])} restricted loss (key frequencies only) goes from ${changeText(current, "restricted_loss", 1)} nat, excluded loss (key frequencies removed) from ${changeText(current, "excluded_loss", 1)}; test loss from ${changeText(current, "test_loss", 1)}.`,
  },
  {
    title: "Clean up",
    view: "sparsity",
    obstacle: (current) => phaseObstacle(current, 2),
    choice: (current) => ({ epoch: current.phaseEnds[2], beside: "" }),
    sentence: (current) => `From epoch ${formatEpoch(current.phaseEnds[1])} to ${formatEpoch(current.phaseEnds[2])} the sum of squared weights goes from ${changeText(current, "sum_of_squared_weights", 2)}, and test loss from ${changeText(current, "test_loss", 2)} nat.`,
  },
  {
    title: "How it adds",
    view: "interference",
    obstacle: (current) => missingArrays(current, "cosine_coefficient") || (current.keys.length ? "" : "This run has no key frequencies."),
    choice: (current) => ({ epoch: chosenExperiment.epochs[current.last], range: "all", beside: "", a: 17, b: 45, neuron: bestExplained(chosenExperiment.runs[current.run]) }),
    sentence(current) {
      const right = answerOf(current);
      const sum = sumOf(keyCosines({ ...current, epoch: current.last }, right));
      const best = sum.indexOf(Math.max(...sum));
      return `${current.keys.length} waves, one for each key frequency, have their maximum at the right answer, ${sumText(current, right)}; elsewhere they partly cancel. Their sum is largest at ${best}. Try other a and b.`;
    },
  },
  {
    title: "Compare seeds",
    view: "norms-W_E",
    obstacle: (current) => missingArrays(current, "W_E_fourier_norm") || (otherRun(current) ? "" : "This experiment has no second run with key frequencies."),
    choice: (current) => ({ epoch: chosenExperiment.epochs[current.last], range: "all", beside: otherRun(current) }),
    sentence(current) {
      const other = currentChoice(otherRun(current));
      return `${current.name} has the key frequencies ${current.keys.join(", ")}; ${other.name} has ${other.keys.join(", ")}. Every view shows both runs side by side.`;
    },
  },
];

// The first other run with key frequencies; undefined if there is none, or if this run has no key frequencies.
const otherRun = (current) => (current.keys.length ? chosenExperiment.runs.find(({ name, keys }) => name !== current.name && keys.length)?.name : undefined);

// Why a phase of the run is not known, or "": it has no end, or the phase before it has none, so that its begin is not known.
function phaseObstacle(current, index) {
  if (phasesOf(current).some((phase) => phase.index === index)) return "";
  const without = current.phaseEnds[index] === null ? index : index - 1;
  return `The rule finds no end of ${HEADER.phase_names[without]} in this run.`;
}

// A sentence with the arrays that the cube lacks, or "".
function missingArrays(current, ...names) {
  const lacking = names.filter((name) => !current.experiment.has(name));
  return lacking.length ? `Not in this cube: ${lacking.join(", ")}.` : "";
}

// The value of a curve at the end of a phase, as text; `phase` is the index of the phase.
const valueText = (current, name, phase) => formatNumber(current.experiment.value(name, current.run, nearest(chosenExperiment.epochs, current.phaseEnds[phase])));

// The values of a curve at the start and at the end of a phase, as text.
const changeText = (current, name, phase) => `${valueText(current, name, phase - 1)} to ${valueText(current, name, phase)}`;

function accuracies(current) {
  if (!current.experiment.has("train_accuracy") || !current.experiment.has("test_accuracy")) return "";
  const [train, test] = ["train", "test"].map((split) => formatPercent(current.experiment.value(`${split}_accuracy`, current.run, nearest(chosenExperiment.epochs, current.phaseEnds[0]))));
  return `The network answers ${train} of the training pairs and ${test} of the test pairs right.`;
}

const steps = document.getElementById("steps");
const storyText = element("p", { "aria-live": "polite" });
const nextButton = element("button", { type: "button" });
const leaveButton = element("button", { type: "button", class: "leave", "aria-label": "Leave the story" }, "×");
const storyBar = element("div", { class: "story-bar", hidden: "" }, storyText, nextButton, leaveButton); // the chosen step, in the time bar

// Choose the step with this number, counted from 1, if it exists and applies to the run.
async function takeStep(number) {
  const step = STEPS[number - 1];
  const current = currentChoice();
  if (!step || step.obstacle(current)) return;
  stop();
  await choose({ ...step.choice(current), step: number });
  document.getElementById(step.view).scrollIntoView({ block: narrowScreen.matches ? "start" : "center", behavior: reducedMotion.matches ? "auto" : "smooth" });
}

// The number of the first step after `number` that applies to the chosen run; 0 if there is none.
const stepAfter = (number) => 1 + STEPS.findIndex((step, index) => index >= number && !step.obstacle(currentChoice()));

function stepButton(step, index) {
  const current = currentChoice();
  const obstacle = step.obstacle(current);
  const text = obstacle || step.sentence(current);
  const button = element("button", { type: "button", ...(obstacle ? { disabled: "" } : {}), ...(state.step === index + 1 ? { "aria-current": "step" } : {}) },
    element("b", {}, `${index + 1}  ${step.title}`), element("span", {}, text));
  button.addEventListener("click", () => takeStep(index + 1));
  return element("li", {}, button);
}

function showStory(changed) {
  if (!["experiment", "run", "step", "a", "b"].some((name) => changed.has(name))) return;
  const focused = [...steps.children].findIndex((item) => item.contains(document.activeElement));
  steps.replaceChildren(...STEPS.map(stepButton));
  steps.children[focused]?.firstChild.focus();
  for (const { section, view } of cards) section.classList.toggle("in-story", view.id === STEPS[state.step - 1]?.view);
  storyBar.hidden = !STEPS[state.step - 1];
  if (storyBar.hidden) return;
  const { title, sentence } = STEPS[state.step - 1];
  storyText.replaceChildren(element("b", {}, `${state.step}  ${title}.`), ` ${sentence(currentChoice())}`);
  const next = stepAfter(state.step);
  nextButton.hidden = !next;
  nextButton.textContent = next ? `${next}  ${STEPS[next - 1].title}` : "";
}

function startStory() {
  document.getElementById("time").prepend(storyBar);
  nextButton.addEventListener("click", () => takeStep(stepAfter(state.step)));
  leaveButton.addEventListener("click", () => choose({ step: 0 }));
  watch(showStory);
}
