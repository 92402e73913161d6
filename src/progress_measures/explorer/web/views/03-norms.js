// Norms of the Fourier components of the embedding and of the neuron-logit map.

// Add the view of one matrix, W_E or W_L.
function addNorms(id, matrix, title, about) {
  const name = `${matrix}_fourier_norm`;
  addView({
    id, title, about,
    requires: [name],
    reads: ["epoch"],
    width: 6,
    frequency: ({ x }) => x,
    draw(current) {
      const norms = ofComponents(current, current.experiment.row(name, current.run, current.epoch));
      const frequencies = Array.from({ length: (norms.length - 1) / 2 }, (_, i) => i + 1);
      const colors = frequencies.map(current.color);
      // the largest norm of the run over all epochs, without that of the constant and those that are NaN, plus 12 % for the labels above the bars
      const [count] = current.experiment.arrays[name].shape.slice(-1);
      const highest = cached(`${current.experiment.name} ${current.run} ${name}`, () => 1.12 * current.experiment.curve(name, current.run).reduce((maximum, value, i) => (i % count && value > maximum ? value : maximum), 0));
      const bars = (wave, shift) => ({
        type: "bar", x: frequencies, y: frequencies.map((k) => norms[2 * k - 1 + shift]), name: wave, width: 0.42, offset: shift ? 0 : -0.42,
        marker: { color: colors, opacity: shift ? 0.55 : 1, line: { width: 0 } }, hovertemplate: `%{y:.3~g}<extra>${wave} %{x}</extra>`,
      });
      return {
        traces: [bars("cos", 0), bars("sin", 1)],
        layout: {
          xaxis: axis("Frequency k (cos dark, sin light)", { range: [0, frequencies.length + 1], showgrid: false }),
          yaxis: axis("Norm", { range: [0, highest] }),
          annotations: current.keys.map((k) => ({ x: k, y: Math.max(norms[2 * k - 1], norms[2 * k]), text: `<b>${k}</b>`, showarrow: false, yshift: 9, font: { color: current.color(k) } })),
        },
        numbers: current.keys.map((k) => ({ label: `k = ${k}`, value: formatNumber(Math.hypot(norms[2 * k - 1], norms[2 * k])), color: current.color(k) })),
        note: current.keys.length ? "Colored bars are key frequencies, found by a rule at the last checkpoint." : "This run has no key frequencies.",
      };
    },
  });
}

addNorms("norms-W_E", "W_E", "Embedding in the Fourier basis", "Norms of the Fourier components of the embedding W_E. Only a few frequencies remain large.");
addNorms("norms-W_L", "W_L", "Neuron-logit map in the Fourier basis", "Norms of the Fourier components of the neuron-logit map W_L = W_out W_U. Only the key frequencies remain large.");
