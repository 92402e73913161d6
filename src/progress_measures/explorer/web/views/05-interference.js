// The logits of one pair, term by term: cosines that all have their maximum at the right answer.

addView({
  id: "interference",
  title: "Constructive interference",
  about: "Lines: the contribution of each key frequency to the logit of every answer c, a cosine of amplitude α_k with its maximum at the right answer. Bars: the sum of the lines.",
  needs: ["cosine_coefficient"],
  reads: ["epoch", "a", "b"],
  width: 6,
  tools: [
    { name: "a", label: "a", max: (at) => at.experiment.prime - 1 },
    { name: "b", label: "b", max: (at) => at.experiment.prime - 1 },
  ],
  draw(at) {
    if (!at.keys.length) return { absent: "This run has no key frequencies, so there are no cosines to add." };
    const { prime: p } = at.experiment;
    const right = answerOf(at);
    const terms = keyCosines(at, right);
    const answers = Array.from({ length: p }, (_, c) => c);
    const sum = sumOf(terms);
    const second = answers.filter((c) => c !== right).reduce((best, c) => (sum[c] > sum[best] ? c : best), right ? 0 : 1);
    const otherColor = colorOf("other"), rightColor = style("--ink");
    return {
      traces: [
        { type: "bar", x: answers, y: sum, name: "sum", marker: { color: answers.map((c) => (c === right ? rightColor : otherColor)), line: { width: 0 } }, hovertemplate: "%{y:.3~g}<extra>c = %{x}</extra>" },
        ...terms.map(({ k, values }) => ({ x: answers, y: values, name: `k = ${k}`, meta: k, mode: "lines", line: { color: at.color(k), width: lit === k ? 2.6 : 1.3 }, hovertemplate: `%{y:.3~g}<extra>k = ${k}</extra>` })),
      ],
      layout: {
        xaxis: axis("Answer c", { range: [-1, p], showgrid: false }),
        yaxis: axis("Contribution to the logit"),
        bargap: 0.25,
        annotations: [{ x: right, y: sum[right], text: `<b>${sumText(at, right)}</b>`, showarrow: false, yshift: 10, font: { color: rightColor }, xanchor: right < p * 0.15 ? "left" : right > p * 0.85 ? "right" : "center" }],
      },
      numbers: [
        ...terms.map(({ k, height }) => ({ label: `α of k = ${k}`, value: formatNumber(height), color: at.color(k) })),
        { label: "sum at the right answer", value: formatNumber(sum[right]), color: rightColor },
        { label: `second largest, c = ${second}`, value: formatNumber(sum[second]), color: otherColor },
      ],
      note: at.experiment.has("logit_fraction_explained_cosines") ? `These cosines explain ${formatPercent(at.experiment.at("logit_fraction_explained_cosines", at.run, at.epoch))} of the sum of squares of the network's logits at this epoch.` : "",
    };
  },
});

// The right answer of the chosen pair.
function answerOf({ experiment: { prime: p, sign }, state: { a, b } }) {
  return (((a + sign * b) % p) + p) % p;
}

// The chosen pair and its answer, such as "17 + 45 = 62".
const sumText = ({ experiment: { sign }, state: { a, b } }, right) => `${a} ${sign > 0 ? "+" : "−"} ${b} = ${right}`;

const sumOf = (terms) => terms[0].values.map((_, c) => terms.reduce((total, { values }) => total + values[c], 0));

// The cosines α_k cos(w_k(a ± b − c)) of the key frequencies k, for every c; `right` is a ± b mod p. α_k = v_k / √(p³/2), where v_k is
// the `cosine_coefficient` of the cube; if p is even, α_k = v_k / √(p³) at k = p/2.
function keyCosines(at, right) {
  const { prime: p } = at.experiment;
  const coefficients = at.experiment.row("cosine_coefficient", at.run, at.epoch);
  return at.keys.map((k) => {
    const height = coefficients[k - 1] / Math.sqrt(2 * k < p ? p ** 3 / 2 : p ** 3);
    return { k, height, values: Array.from({ length: p }, (_, c) => height * Math.cos((2 * Math.PI * k * (right - c)) / p)) };
  });
}
