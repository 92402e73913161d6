// One neuron over all pairs, and its 2D spectrum.

// The chosen neuron's map where it is kept nearest to the chosen epoch: { map, note }, or { absent }.
function neuronAt(at) {
  const { experiment, state: { neuron } } = at;
  if (at.run !== experiment.first) return { absent: `The cube keeps maps of neurons for the first run alone, ${experiment.runs[Math.max(0, experiment.first)].name}.` };
  const place = experiment.kept_neurons.indexOf(neuron);
  const overTime = place >= 0 && experiment.has("moment_neuron_value_token");
  const score = overTime ? kept(at, "attention_score_token") : keptAs("attention_score_token", [at.run], experiment.epochs.at(-1), at.state.epoch);
  const prefix = overTime ? "moment_" : "";
  const where = overTime ? score.places : [];
  const map = remember(`neuron ${experiment.name} ${[neuron, prefix, where]}`, () => {
    const column = overTime ? place : neuron;
    const heads = Array.from({ length: experiment.runs[at.run].heads }, (_, head) => ({
      maps: attentionAt(experiment, score, head),
      token: taken(experiment, `${prefix}neuron_value_token`, [...where, head], column),
      position: taken(experiment, `${prefix}neuron_value_position`, [...where, head], column),
    }));
    return neuronMap(heads, experiment.row(`${prefix}neuron_offset`, ...where)[column]);
  });
  const only = overTime || !experiment.has("moment_neuron_value_token") ? "" : " Of this neuron the last checkpoint alone is kept.";
  return { map, note: score.note + only };
}

// One column of an array: its values along the last dimension but one.
function taken(experiment, name, places, column) {
  const [, count] = experiment.arrays[name].shape.slice(-2);
  return experiment.row(name, ...places).filter((_, index) => index % count === column);
}

// A neuron's frequency and the share that it explains, at the chosen epoch.
function followed(at) {
  if (!at.experiment.has("neuron_frequency")) return [];
  const k = at.experiment.row("neuron_frequency", at.run, at.epoch)[at.state.neuron];
  const share = at.experiment.row("neuron_fraction_explained", at.run, at.epoch)[at.state.neuron];
  return [{ label: "frequency", value: k ? String(k) : "none", color: at.color(k) }, { label: "explains", value: sayShare(share) }];
}

// Those kept over time first, with their frequency at the last checkpoint.
function neuronOptions(at) {
  const { experiment } = at;
  const last = experiment.has("neuron_frequency") ? experiment.row("neuron_frequency", at.run, experiment.epochs.length - 1) : null;
  const named = (neuron) => (last ? `${neuron}, k = ${last[neuron]}` : String(neuron));
  const keptOnes = at.run === experiment.first ? experiment.kept_neurons : [];
  const others = Array.from({ length: experiment.runs[at.run].neurons }, (_, neuron) => neuron).filter((neuron) => !keptOnes.includes(neuron));
  return [...keptOnes.map((neuron) => [neuron, `${named(neuron)}, over time`]), ...others.map((neuron) => [neuron, named(neuron)])];
}

const NEURON = ["attention_score_token", "neuron_value_token", "neuron_offset"];

// The chosen pair on a map.
function pairMark(at) {
  const { state: { a, b }, experiment } = at;
  const reach = 0.4 + experiment.numbers / 45;
  const mark = { xref: "x", yref: "y", type: "circle", x0: b - reach, x1: b + reach, y0: a - reach, y1: a + reach };
  return [{ ...mark, line: { color: "#000", width: 3 } }, { ...mark, line: { color: "#fff", width: 1.5 } }];
}

addView({
  id: "neuron",
  title: "A neuron over all pairs",
  about: "What the neuron gives after the ReLU for every a and b. Choose a pair by clicking on it.",
  needs: NEURON,
  reads: ["epoch", "neuron", "a", "b"],
  width: 4,
  shape: "square",
  tools: [{ name: "neuron", label: "Neuron", options: neuronOptions }],
  draw(at) {
    const { map, note, absent } = neuronAt(at);
    if (absent) return { absent };
    return {
      traces: [{ type: "heatmap", z: map, colorscale: MAGMA, zmin: 0, colorbar: colorBar("Activation"), hovertemplate: "a = %{y}, b = %{x}: %{z:.3~g}<extra></extra>" }],
      layout: { xaxis: along("b"), yaxis: down("a"), shapes: pairMark(at), margin: { l: 44, r: 4, t: 6, b: 40 } },
      numbers: [...followed(at), { label: `at (${at.state.a}, ${at.state.b})`, value: say(map[at.state.a][at.state.b]) }],
      note,
    };
  },
  chosen: ({ x, y }) => ({ a: y, b: x }),
});

addView({
  id: "neuron-spectrum",
  title: "The neuron's spectrum",
  about: "The same map in the Fourier basis over a and b: a neuron of frequency k is all in the constant, cos k and sin k of either.",
  needs: [...NEURON, "neuron_frequency"],
  reads: ["epoch", "neuron"],
  width: 4,
  shape: "square",
  draw(at) {
    const { map, note, absent } = neuronAt(at);
    if (absent) return { absent };
    const spectrum = spectrum2d(map).map((row) => row.map(Math.abs));
    spectrum[0][0] = 0;
    return { ...spectrumPlot(at, spectrum, "Size of the component"), note: `${note} The constant is left out.`.trim() };
  },
});

// A map of components over a (down) and b, in shares of the largest, square roots as shades so that small ones are seen.
function spectrumPlot(at, spectrum, what) {
  const names = componentNames(spectrum.length);
  const most = Math.max(...spectrum.map((row) => Math.max(...row))) || 1;
  const ticks = (before) => ({ tickvals: at.keys.map((k) => 2 * k - 0.5), ticktext: at.keys.map((k, place) => `${place % 2 ? before : ""}<b>${k}</b>`), tickfont: { size: 11 }, tickangle: 0 }); // in two rows, to stand apart
  const scale = [0, 0.05, 0.25, 0.5, 1];
  return {
    traces: [{
      type: "heatmap", z: spectrum.map((row) => Array.from(row, (value) => Math.sqrt(value / most))), zmin: 0, zmax: 1, colorscale: sequential(),
      customdata: spectrum.map((row, i) => Array.from(row, (value, j) => [names[i], names[j], value])), hovertemplate: "%{customdata[0]} of a, %{customdata[1]} of b: %{customdata[2]:.3~g}<extra></extra>",
      colorbar: { ...colorBar(`${what}, of the largest`), tickvals: scale.map(Math.sqrt), ticktext: scale.map((share) => `${100 * share} %`) },
    }],
    layout: { xaxis: along("Frequency over b", ticks("<br>")), yaxis: down("Frequency over a", { ...ticks(""), ticktext: at.keys.map((k, place) => `<b>${k}</b>${place % 2 ? "     " : ""}`) }), margin: { l: 44, r: 4, t: 6, b: 40 } },
    numbers: [{ label: "largest", value: say(most) }],
  };
}
