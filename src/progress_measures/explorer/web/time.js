// The time slider over the checkpoints, and playback.

const slider = document.getElementById("slider");
const playButton = document.getElementById("play");
const speedSelect = document.getElementById("speed");
const rangeSelect = document.getElementById("range");
const PLAY_DURATION = 16000; // milliseconds from the first epoch of the range to the last at speed 1
let playback = null; // the start of the playback, { since: time in milliseconds, from: index in `epochs` }; null if there is none
const ADDRESS_EVERY = 1000; // milliseconds between updates of the address during playback; browsers reject much more frequent updates
let dragging = false; // true while the slider is dragged; the address is then not written
let lastAddressUpdate = 0; // time in milliseconds

function showTime(changed) {
  slider.max = epochs.length - 1;
  slider.value = epochs.indexOf(state.epoch);
  slider.setAttribute("aria-valuetext", `epoch ${formatEpoch(state.epoch)}`);
  document.getElementById("epoch").value = `epoch ${formatEpoch(state.epoch)}`;
  const phases = phasesOf(currentChoice());
  document.getElementById("phase").textContent = phaseNow(phases);
  if (["experiment", "run", "range"].some((name) => changed.has(name))) {
    if (!changed.has("epoch")) stop();
    document.getElementById("bands").replaceChildren(...phases.map(band));
    const { run, last } = currentChoice();
    const shortEnd = shortRangeEnd(chosenExperiment.runs[run]);
    rangeSelect.disabled = shortEnd === null;
    rangeSelect.options[0].textContent = shortEnd === null ? "–" : `to ${formatEpoch(shortEnd)}`;
    rangeSelect.options[1].textContent = `to ${formatEpoch(chosenExperiment.epochs[last])}`;
    rangeSelect.value = state.range;
  }
}

// A band above the slider for a phase of the run. A click goes to the end of the phase.
function band({ name, start, end, index }) {
  const last = epochs.at(-1);
  const title = `${name}, epochs ${formatEpoch(start)} to ${formatEpoch(end)}: go to its end`;
  const button = element("button", { type: "button", title, "aria-label": title, style: `left: ${(100 * start) / last}%; width: ${(100 * (end - start)) / last}%; background: var(--phase-${index})` }, name);
  button.addEventListener("click", () => {
    stop();
    choose({ epoch: end });
  });
  return button;
}

// The name of the phase at the chosen epoch; "" if it is unknown.
function phaseNow(phases) {
  const phase = phases.find(({ end }) => state.epoch <= end); // the end of a phase is its last checkpoint
  return phase ? phase.name : phases.length === HEADER.phase_names.length && state.epoch > phases.at(-1).end ? "after cleanup" : "";
}

// Choose the checkpoint that is `count` checkpoints after the chosen one, or before it if `count` is negative.
const moveTime = (count) => choose({ epoch: epochs[clampIndex(epochs.indexOf(state.epoch) + count, epochs.length)] });

function play() {
  const from = state.epoch === epochs.at(-1) ? 0 : epochs.indexOf(state.epoch);
  playback = { since: performance.now(), from };
  showPlaying();
  requestAnimationFrame(advance);
}

function stop() {
  if (!playback) return;
  playback = null;
  showPlaying();
  writeAddress();
}

// Show the next frame of playback. On a slow machine, checkpoints are skipped, so that the duration is the same. If the reader prefers
// reduced motion, the playback has about 32 steps, two per second at speed 1; fewer if there are fewer checkpoints.
function advance(time) {
  if (!playback) return;
  const last = epochs.length - 1;
  const stride = reducedMotion.matches ? Math.max(1, Math.round(last / 32)) : 1;
  const elapsed = ((Math.max(0, time - playback.since) * Number(speedSelect.value)) / PLAY_DURATION) * last;
  const index = Math.min(last, playback.from + Math.floor(elapsed / stride) * stride);
  choose({ epoch: epochs[index] });
  if (time - lastAddressUpdate > ADDRESS_EVERY) {
    lastAddressUpdate = time;
    writeAddress();
  }
  if (index === last) stop();
  else requestAnimationFrame(advance);
}

function showPlaying() {
  playButton.setAttribute("aria-label", playback ? "Pause" : "Play");
  playButton.setAttribute("aria-pressed", String(Boolean(playback)));
  playButton.querySelector("path").setAttribute("d", playback ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2.5v11l9-5.5z");
}

function startTimeBar() {
  slider.addEventListener("input", () => {
    stop();
    dragging = true;
    choose({ epoch: epochs[Number(slider.value)] });
  });
  slider.addEventListener("change", () => {
    dragging = false;
    writeAddress();
  });
  playButton.addEventListener("click", () => (playback ? stop() : play()));
  rangeSelect.addEventListener("change", () => choose({ range: rangeSelect.value }));
  speedSelect.addEventListener("change", () => { if (playback) play(); });
  showPlaying();
  watch(showTime);
}
