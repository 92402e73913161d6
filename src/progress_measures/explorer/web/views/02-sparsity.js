// Two progress measures of the weights: sparsity in the Fourier basis, and sum of squares.

// The matrix of each Gini coefficient, by name of the coefficient's array.
const GINI = { gini_W_E: "W_E", gini_W_L: "W_L" };

addView({
  id: "sparsity",
  title: "Sparsity and norm of the weights",
  about: "The Gini coefficients of the Fourier norms of the embedding W_E and the neuron-logit map W_L rise as a few frequencies dominate. During cleanup, the sum of squared weights drops.",
  requires: ["sum_of_squared_weights"],
  reads: ["epoch"],
  width: 5,
  draw(current) {
    const names = Object.keys(GINI).filter((name) => current.experiment.has(name));
    const colors = names.map((name) => colorOf(GINI[name]));
    const weights = colorOf("weights");
    const upper = names.length ? [0.55, 1] : [0, 1];
    const numbers = names.map((name, index) => ({ label: `Gini of ${GINI[name]}`, value: formatNumber(current.experiment.value(name, current.run, current.epoch)), color: colors[index] }));
    return {
      traces: [
        ...curves(current, names, colors, { yaxis: "y2" }),
        ...curves(current, ["sum_of_squared_weights"], [weights]),
      ],
      layout: {
        xaxis: epochAxis({ anchor: "y" }),
        yaxis: narrowLog("Sum of squares", { domain: names.length ? [0, 0.45] : [0, 1] }),
        ...(names.length ? { yaxis2: axis("Gini", { domain: upper, range: [0, 1], nticks: 4 }) } : {}),
        shapes: timeShapes(current), hovermode: "x", uirevision: `${current.name} ${state.range}`,
      },
      numbers: [...numbers, { label: "sum of squares", value: formatNumber(current.experiment.value("sum_of_squared_weights", current.run, current.epoch)), color: weights }],
    };
  },
  onClick: ({ x }) => ({ epoch: x }),
});
