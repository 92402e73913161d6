// One neuron over all pairs, and its two-dimensional spectrum.

// The chosen neuron's map at the stored epoch nearest to the chosen epoch: { map, note, lastOnly }, or { absent: reason }.
function neuronAt(current) {
  const { experiment, state: { neuron } } = current;
  if (current.run !== experiment.first_run) return { absent: `The cube has maps of neurons only for the first run, ${experiment.runs[Math.max(0, experiment.first_run)].name}.` };
  const index = experiment.kept_neurons.indexOf(neuron);
  const overTime = index >= 0 && experiment.has("moment_neuron_value_token");
  const score = overTime ? nearestStored(current, "attention_score_token") : storedLast(current, "attention_score_token", [current.run]);
  const prefix = overTime ? "moment_" : "";
  const indices = overTime ? score.indices : [];
  const map = cached(`neuron ${experiment.name} ${[neuron, prefix, indices]}`, () => {
    const column = overTime ? index : neuron;
    const heads = Array.from({ length: experiment.runs[current.run].head_count }, (_, head) => ({
      maps: attentionAt(current, score, head),
      token: ofTokens(current, columnOf(experiment, `${prefix}neuron_value_token`, [...indices, head], column)),
      position: columnOf(experiment, `${prefix}neuron_value_position`, [...indices, head], column),
    }));
    return neuronMap(heads, experiment.row(`${prefix}neuron_offset`, ...indices)[column]);
  });
  return { map, note: score.note, lastOnly: score.lastOnly };
}

// The values of an array along its second-to-last dimension, in one column of its last dimension.
function columnOf(experiment, name, indices, column) {
  const [, count] = experiment.arrays[name].shape.slice(-2);
  return experiment.row(name, ...indices).filter((_, index) => index % count === column);
}

// The frequency that explains the largest fraction of the chosen neuron's variance, and this fraction, at the chosen epoch.
function frequencyNumbers(current) {
  if (!current.experiment.has("neuron_frequency")) return [];
  const k = current.experiment.row("neuron_frequency", current.run, current.epoch)[current.state.neuron];
  const fraction = current.experiment.row("neuron_fraction_explained", current.run, current.epoch)[current.state.neuron];
  return [{ label: "frequency", value: Number.isNaN(fraction) ? "–" : k ? String(k) : "none", color: current.color(k) }, { label: "variance explained", value: formatPercent(fraction) }];
}

// The options of the neuron select. Neurons with maps at the selected epochs come first; each text has the neuron's frequency at the
// run's last checkpoint.
function neuronOptions(current) {
  const { experiment } = current;
  const last = experiment.has("neuron_frequency") ? experiment.row("neuron_frequency", current.run, current.last) : null;
  const label = (neuron) => (last ? `${neuron}, k = ${last[neuron]}` : String(neuron));
  const overTime = current.run === experiment.first_run ? experiment.kept_neurons : [];
  const others = Array.from({ length: experiment.runs[current.run].neuron_count }, (_, neuron) => neuron).filter((neuron) => !overTime.includes(neuron));
  return [...overTime.map((neuron) => [neuron, `${label(neuron)}, over time`]), ...others.map((neuron) => [neuron, label(neuron)])];
}

// Arrays from which the maps of neurons are computed. A cube that has these also has `attention_score_position` and
// `neuron_value_position`.
const NEURON_ARRAYS = ["attention_score_token", "neuron_value_token", "neuron_offset"];

// A ring around the chosen pair on a map. Its radius, in cells, grows with the map, so that the ring remains visible.
function pairMark(current) {
  const { state: { a, b }, operandCount } = current;
  const radius = 0.4 + operandCount / 45;
  const mark = { xref: "x", yref: "y", type: "circle", x0: b - radius, x1: b + radius, y0: a - radius, y1: a + radius };
  return [{ ...mark, line: { color: "#000", width: 3 } }, { ...mark, line: { color: "#fff", width: 1.5 } }];
}

addView({
  id: "neuron",
  title: "A neuron over all pairs",
  about: "Activation of the neuron after the ReLU for every a and b. Click on a pair to choose it.",
  requires: NEURON_ARRAYS,
  reads: ["epoch", "neuron", "a", "b"],
  width: 4,
  shape: "square",
  tools: [{ name: "neuron", label: "Neuron", options: neuronOptions }],
  draw(current) {
    const { map, note, lastOnly, absent } = neuronAt(current);
    if (absent) return { absent };
    return {
      traces: [{ type: "heatmap", z: map, colorscale: MAGMA, zmin: 0, colorbar: colorBar("Activation"), hovertemplate: "a = %{y}, b = %{x}: %{z:.3~g}<extra></extra>" }],
      layout: { xaxis: columnAxis("b"), yaxis: rowAxis("a"), shapes: pairMark(current), margin: { l: 44, r: 4, t: 6, b: 40 } },
      numbers: [...frequencyNumbers(current), { label: `at (${current.state.a}, ${current.state.b})`, value: formatNumber(map[current.state.a][current.state.b]) }],
      note, lastOnly,
    };
  },
  onClick: ({ x, y }) => ({ a: y, b: x }),
});

addView({
  id: "neuron-spectrum",
  title: "Spectrum of the neuron",
  about: "The neuron's activation in the Fourier basis over a and b. The activation of a neuron with frequency k consists mostly of products of const, cos w_k a or sin w_k a with const, cos w_k b or sin w_k b.",
  requires: [...NEURON_ARRAYS, "neuron_frequency"],
  reads: ["epoch", "neuron"],
  width: 4,
  shape: "square",
  draw(current) {
    const { map, note, lastOnly, absent } = neuronAt(current);
    if (absent) return { absent };
    const spectrum = spectrum2d(map).map((row) => row.map(Math.abs));
    spectrum[0][0] = 0;
    return { ...spectrumPlot(current, spectrum, "Absolute value"), lastOnly, note: `${note} The constant component is omitted.`.trim() };
  },
});

// A map of 2D Fourier components over a (rows) and b (columns), relative to the largest component. The color scale is in square roots,
// which makes small components visible.
function spectrumPlot(current, spectrum, quantity) {
  const names = componentNames(spectrum.length);
  const maximum = Math.max(...spectrum.map((row) => Math.max(...row))) || 1;
  const label = (k) => `<span style="color: ${current.color(k)}"><b>${k}</b></span>`;
  const ticks = { tickvals: current.keys.map((k) => 2 * k - 0.5), tickfont: { size: 11 }, tickangle: 0 };
  const scale = [0, 0.05, 0.25, 0.5, 1];
  return {
    traces: [{
      type: "heatmap", z: spectrum.map((row) => Array.from(row, (value) => Math.sqrt(value / maximum))), zmin: 0, zmax: 1, colorscale: sequential(),
      customdata: spectrum.map((row, i) => Array.from(row, (value, j) => [names[i], names[j], value])), hovertemplate: "%{customdata[0]} of a, %{customdata[1]} of b: %{customdata[2]:.3~g}<extra></extra>",
      colorbar: { ...colorBar(`${quantity}, relative to the largest`), tickvals: scale.map(Math.sqrt), ticktext: scale.map((fraction) => `${100 * fraction} %`) },
    }],
    layout: {
      // every second label is in another row or column, so that they do not overlap
      xaxis: columnAxis("Frequency over b", { ...ticks, ticktext: current.keys.map((k, index) => `${index % 2 ? "<br>" : ""}${label(k)}`) }),
      yaxis: rowAxis("Frequency over a", { ...ticks, ticktext: current.keys.map((k, index) => `${label(k)}${index % 2 ? "     " : ""}`) }),
      margin: { l: 44, r: 4, t: 6, b: 40 },
    },
    numbers: [{ label: "largest", value: formatNumber(maximum) }],
  };
}
