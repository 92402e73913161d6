// Train, test, restricted and excluded loss.

// Label of each loss, and the meaning by which `colorOf` finds its color.
const LOSSES = { train_loss: ["train", "train"], test_loss: ["test", "test"], restricted_loss: ["restricted", "restricted"], excluded_loss: ["excluded", "excluded"] };

// Curves over epochs, with a point at the chosen epoch. If a curve has unknown values between known ones, as where a measure is known only
// at checkpoints whose weights were kept, the known values are dots with a dotted line.
function curves(current, names, colors, more = {}) {
  const epochs = current.experiment.epochs.slice(0, current.last + 1); // all epochs of the run; the range only limits the axis
  return names.flatMap((name, index) => {
    const values = current.experiment.curve(name, current.run).subarray(0, epochs.length);
    const color = colors[index];
    const known = epochs.map((_, i) => i).filter((i) => !Number.isNaN(values[i]));
    const gaps = known.length > 0 && known.length < known.at(-1) - known[0] + 1;
    const shown = gaps ? { x: known.map((i) => epochs[i]), y: known.map((i) => values[i]), mode: "lines+markers", marker: { color: color, size: 4 } } : { x: epochs, y: values, mode: "lines" };
    return [
      { ...shown, name: current.experiment.label(name), line: { color: color, width: 1.8, simplify: false, dash: gaps ? "dot" : "solid" }, hovertemplate: `%{y:.3~g}<extra>${current.experiment.label(name)}</extra>`, ...more },
      { x: [epochs[current.epoch]], y: [values[current.epoch]], mode: "markers", marker: { color: color, size: 8, line: { color: style("--card"), width: 1.5 } }, hoverinfo: "skip", ...more },
    ];
  });
}

addView({
  id: "losses",
  title: "Losses",
  about: "Restricted loss keeps only the key frequencies' directions, cos and sin of w(a ± b), in the logits; excluded loss removes them. In the paper's networks, excluded loss rises and restricted loss falls while train and test loss are on a plateau: the circuit forms before the test loss drops. With more training pairs the plateau is short, and all four losses change at almost the same time. The bands are the phases, whose ends a rule finds on smoothed curves.",
  requires: ["train_loss", "test_loss"],
  reads: ["epoch"],
  width: 7,
  draw(current) {
    const names = Object.keys(LOSSES).filter((name) => current.experiment.has(name));
    const colors = names.map((name) => colorOf(LOSSES[name][1]));
    return {
      traces: curves(current, names, colors),
      layout: { xaxis: epochAxis(), yaxis: lossAxis("Loss (nat)"), shapes: timeShapes(current), hovermode: "x", uirevision: `${current.name} ${state.range}` },
      numbers: [
        ...names.map((name, index) => ({ label: LOSSES[name][0], value: formatNumber(current.experiment.value(name, current.run, current.epoch)), color: colors[index] })),
        ...phasesOf(current).map(({ name, end, index }) => ({ label: `${name} ends at`, value: formatEpoch(end), color: `var(--phase-${index})`, square: true })),
      ],
      note: names.length < 4 ? "Restricted and excluded loss are not measured for this task or network." : current.keys.length ? "" : "This run has no key frequencies, so restricted and excluded loss are undefined.",
    };
  },
  onClick: ({ x }) => ({ epoch: x }),
});
