// The logits of one pair, term by term: cosines. Those of positive amplitude all have their maximum at the right answer.

addView({
  id: "interference",
  title: "Constructive interference",
  about: "Lines: the contribution of each key frequency to the logit of every output c, α_k times a cosine with its maximum at the right answer. Bars: the sum of the lines.",
  requires: ["cosine_coefficient"],
  reads: ["epoch", "a", "b"],
  width: 6,
  tools: [
    { name: "a", label: "a", max: ({ basisSize }) => basisSize - 1 },
    { name: "b", label: "b", max: ({ basisSize }) => basisSize - 1 },
  ],
  draw(current) {
    if (!current.keys.length) return { absent: "This run has no key frequencies, so there are no cosines to add." };
    const { basisSize: p } = current;
    const right = answerOf(current);
    const terms = keyCosines(current, right);
    const outputs = Array.from({ length: p }, (_, c) => c);
    const sum = sumOf(terms);
    const largestOther = outputs.filter((c) => c !== right).reduce((best, c) => (sum[c] > sum[best] ? c : best), right ? 0 : 1);
    const otherColor = colorOf("other"), rightColor = style("--ink");
    const fraction = current.experiment.has("logit_fraction_explained_cosines") ? current.experiment.value("logit_fraction_explained_cosines", current.run, current.epoch) : NaN;
    return {
      traces: [
        { type: "bar", x: outputs, y: sum, name: "sum", marker: { color: outputs.map((c) => (c === right ? rightColor : otherColor)), line: { width: 0 } }, hovertemplate: "%{y:.3~g}<extra>c = %{x}</extra>" },
        ...terms.map(({ k, values }) => ({ x: outputs, y: values, name: `k = ${k}`, meta: k, mode: "lines", line: { color: current.color(k), width: highlighted === k ? 2.6 : 1.3 }, hovertemplate: `%{y:.3~g}<extra>k = ${k}</extra>` })),
      ],
      layout: {
        xaxis: axis("Output c", { range: [-1, p], showgrid: false }),
        yaxis: axis("Contribution to the logit"),
        bargap: 0.25,
        annotations: [{ x: right, y: sum[right], text: `<b>${sumText(current, right)}</b>`, showarrow: false, yshift: 10, font: { color: rightColor }, xanchor: right < p * 0.15 ? "left" : right > p * 0.85 ? "right" : "center" }],
      },
      numbers: [
        ...terms.map(({ k, amplitude }) => ({ label: `α of k = ${k}`, value: formatNumber(amplitude), color: current.color(k) })),
        { label: "sum at the right answer", value: formatNumber(sum[right]), color: rightColor },
        { label: `largest other, c = ${largestOther}`, value: formatNumber(sum[largestOther]), color: otherColor },
      ],
      note: Number.isNaN(fraction) ? "" : `These cosines explain ${formatPercent(fraction)} of the sum of squares of the network's logits at this epoch.`,
    };
  },
});

// The right answer of the chosen pair.
function answerOf({ basisSize: p, sign, state: { a, b } }) {
  return (((a + sign * b) % p) + p) % p;
}

// The chosen pair and its answer, such as "17 + 45 = 62".
const sumText = ({ sign, state: { a, b } }, right) => `${a} ${sign > 0 ? "+" : "−"} ${b} = ${right}`;

const sumOf = (terms) => terms[0].values.map((_, c) => terms.reduce((total, { values }) => total + values[c], 0));

// The cosines α_k cos(w_k(a ± b − c)) of the key frequencies k, for every c; `right` is a ± b mod p. α_k = v_k / √(p³/2), where v_k is
// the `cosine_coefficient` of the cube; if p is even, α_k = v_k / √(p³) at k = p/2.
function keyCosines(current, right) {
  const { basisSize: p } = current;
  const coefficients = current.experiment.row("cosine_coefficient", current.run, current.epoch);
  return current.keys.map((k) => {
    const amplitude = coefficients[k - 1] / Math.sqrt(2 * k < p ? p ** 3 / 2 : p ** 3);
    return { k, amplitude, values: Array.from({ length: p }, (_, c) => amplitude * Math.cos((2 * Math.PI * k * (right - c)) / p)) };
  });
}
