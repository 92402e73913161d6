// The frequency that explains the largest fraction of each neuron's variance, and this fraction.

addView({
  id: "neurons",
  title: "All neurons",
  about: "Each point is a neuron, at the frequency that explains the largest fraction of its variance over pairs, and at this fraction. Neurons above the dashed line are in the cluster of their frequency; clusters rise above it as the circuit forms. Click on a point to choose its neuron.",
  requires: ["neuron_frequency", "neuron_fraction_explained"],
  reads: ["epoch", "neuron"],
  width: 4,
  shape: "square",
  frequency: ({ pointNumber, curveNumber }, current) => (curveNumber ? null : current.experiment.row("neuron_frequency", current.run, current.epoch)[pointNumber] || null),
  draw(current) {
    const { experiment } = current;
    const ofRun = (name) => experiment.row(name, current.run, current.epoch).subarray(0, experiment.runs[current.run].neuron_count);
    const k = ofRun("neuron_frequency");
    const fraction = ofRun("neuron_fraction_explained");
    if (fraction.every(Number.isNaN)) return { absent: `The cube has no values at epoch ${formatEpoch(current.state.epoch)}.` };
    const highestFrequency = Math.floor(current.basisSize / 2);
    const jitter = (neuron) => 0.7 * (((neuron * 0.618) % 1) - 0.5); // so that points of one frequency do not overlap
    const threshold = experiment.cluster_fraction;
    const count = fraction.reduce((total, value) => total + (value >= threshold), 0);
    return {
      traces: [
        {
          x: Array.from(k, (frequency, neuron) => frequency + jitter(neuron)), y: fraction, mode: "markers",
          marker: { size: 5, opacity: 0.75, color: Array.from(k, current.color), line: { width: 0 } },
          text: Array.from(k, (frequency, neuron) => `neuron ${neuron}, k = ${frequency}`), hovertemplate: "%{text}: %{y:.1%}<extra></extra>",
        },
        {
          x: [k[current.state.neuron] + jitter(current.state.neuron)], y: [fraction[current.state.neuron]], mode: "markers", hoverinfo: "skip",
          marker: { size: 12, color: "rgba(0,0,0,0)", line: { color: style("--ink"), width: 1.8 } },
        },
      ],
      layout: {
        xaxis: axis("Frequency k", { range: [-1, highestFrequency + 1], showgrid: false }),
        yaxis: axis("Fraction of variance explained", { range: [0, 1.03], tickformat: ".0%" }),
        shapes: [{ type: "line", x0: 0, x1: 1, xref: "paper", y0: threshold, y1: threshold, line: { color: style("--quiet"), width: 1, dash: "dash" } }],
      },
      numbers: [
        { label: `at ${100 * threshold} % or more`, value: `${count} of ${fraction.length}` },
        ...current.keys.map((key) => ({ label: `k = ${key}`, value: String(fraction.reduce((total, value, neuron) => total + (value >= threshold && k[neuron] === key), 0)), color: current.color(key) })),
      ],
    };
  },
  onClick: ({ pointNumber, curveNumber }) => (curveNumber ? null : { neuron: pointNumber }),
});
