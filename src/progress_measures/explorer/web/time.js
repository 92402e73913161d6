// The time slider: epochs that were measured, and playing through them.

const slider = document.getElementById("slider");
const playButton = document.getElementById("play");
const speed = document.getElementById("speed");
const range = document.getElementById("range");
const WHOLE = 16000; // milliseconds from the first epoch of the range to the last
let playing = null; // when it began, and where
const ADDRESS_EVERY = 1000; // milliseconds after which the address follows what plays; browsers refuse to have it changed much oftener
let dragging = false;
let addressed = 0; // when it last did

function showTime(changed) {
  slider.max = epochs.length - 1;
  slider.value = epochs.indexOf(state.epoch);
  slider.setAttribute("aria-valuetext", `epoch ${sayEpoch(state.epoch)}`);
  document.getElementById("epoch").value = `epoch ${sayEpoch(state.epoch)}`;
  const phases = phasesOf(now());
  document.getElementById("phase").textContent = phaseNow(phases);
  if (["experiment", "run", "range"].some((name) => changed.has(name))) {
    if (!changed.has("epoch")) stop();
    document.getElementById("bands").replaceChildren(...phases.map(band));
    const told = storyEnd(shown.runs[now().run]);
    range.disabled = told === null;
    range.options[0].textContent = told === null ? "–" : `to ${sayEpoch(told)}`;
    range.options[1].textContent = `to ${sayEpoch(shown.epochs.at(-1))}`;
    range.value = state.range;
  }
}

// A phase of the run, above the slider.
function band({ name, start, end, place }) {
  const last = epochs.at(-1);
  const title = `${name}, to epoch ${sayEpoch(end)}`;
  return element("span", { title, style: `left: ${(100 * start) / last}%; width: ${(100 * (end - start)) / last}%; background: var(--phase-${place})` });
}

function phaseNow(phases) {
  const phase = phases.find(({ end }) => state.epoch <= end); // a phase's end is the last of its checkpoints
  return phase ? phase.name : phases.length === HEADER.phases.length && state.epoch > phases.at(-1).end ? "after the cleanup" : "";
}

const step = (places) => choose({ epoch: epochs[within(epochs.indexOf(state.epoch) + places, epochs.length)] });

function play() {
  const from = state.epoch === epochs.at(-1) ? 0 : epochs.indexOf(state.epoch);
  playing = { since: performance.now(), from };
  showPlaying();
  requestAnimationFrame(advance);
}

function stop() {
  if (!playing) return;
  playing = null;
  showPlaying();
  toAddress();
}

// One frame of playing. A slow machine skips checkpoints and keeps the pace; who wants less motion sees two a second.
function advance(time) {
  if (!playing) return;
  const last = epochs.length - 1;
  const stride = calm.matches ? Math.max(1, Math.round(last / 32)) : 1;
  const gone = ((Math.max(0, time - playing.since) * Number(speed.value)) / WHOLE) * last;
  const place = Math.min(last, playing.from + Math.floor(gone / stride) * stride);
  choose({ epoch: epochs[place] });
  if (time - addressed > ADDRESS_EVERY) {
    addressed = time;
    toAddress();
  }
  if (place === last) stop();
  else requestAnimationFrame(advance);
}

function showPlaying() {
  playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
  playButton.setAttribute("aria-pressed", String(Boolean(playing)));
  playButton.querySelector("path").setAttribute("d", playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2.5v11l9-5.5z");
}

function startTime() {
  slider.addEventListener("input", () => {
    stop();
    dragging = true;
    choose({ epoch: epochs[Number(slider.value)] });
  });
  slider.addEventListener("change", () => {
    dragging = false;
    toAddress();
  });
  playButton.addEventListener("click", () => (playing ? stop() : play()));
  range.addEventListener("change", () => choose({ range: range.value }));
  speed.addEventListener("change", () => { if (playing) play(); });
  showPlaying();
  watch(showTime);
}
