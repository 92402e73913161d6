// The logits of one pair, term by term: cosines that all have their maximum at the right answer.

addView({
  id: "interference",
  title: "Constructive interference",
  about: "The contribution of each key frequency to the logit of every answer c: a cosine of amplitude α_k with its maximum at the right answer.",
  needs: ["cosine_coefficient"],
  reads: ["epoch", "a", "b"],
  width: 6,
  tools: [
    { name: "a", label: "a", max: (at) => at.experiment.prime - 1 },
    { name: "b", label: "b", max: (at) => at.experiment.prime - 1 },
  ],
  draw(at) {
    if (!at.keys.length) return { absent: "This run has no key frequencies, so there are no cosines to add." };
    const { prime: p, sign } = at.experiment;
    const { a, b } = at.state;
    const right = (((a + sign * b) % p) + p) % p;
    const terms = waves(at, right);
    const answers = Array.from({ length: p }, (_, c) => c);
    const sum = answers.map((c) => terms.reduce((total, { values }) => total + values[c], 0));
    const second = answers.filter((c) => c !== right).reduce((best, c) => (sum[c] > sum[best] ? c : best), right ? 0 : 1);
    const quiet = colorOf("other"), answer = colorOf("test");
    return {
      traces: [
        { type: "bar", x: answers, y: sum, marker: { color: answers.map((c) => (c === right ? answer : quiet)), line: { width: 0 } }, hovertemplate: "%{y:.3~g}<extra>c = %{x}</extra>" },
        ...terms.map(({ k, values }) => ({ x: answers, y: values, mode: "lines", line: { color: at.color(k), width: 1.3 }, hovertemplate: `%{y:.3~g}<extra>k = ${k}</extra>` })),
      ],
      layout: {
        xaxis: axis("Answer c", { range: [-1, p], showgrid: false }),
        yaxis: axis("Contribution to the logit"),
        bargap: 0.25,
        annotations: [{ x: right, y: sum[right], text: `<b>${a} ${sign > 0 ? "+" : "−"} ${b} = ${right}</b>`, showarrow: false, yshift: 10, font: { color: answer }, xanchor: right < p * 0.15 ? "left" : right > p * 0.85 ? "right" : "center" }],
      },
      numbers: [
        ...terms.map(({ k, height }) => ({ label: `α of k = ${k}`, value: formatNumber(height), color: at.color(k) })),
        { label: "sum at the right answer", value: formatNumber(sum[right]), color: answer },
        { label: `second largest, c = ${second}`, value: formatNumber(sum[second]), color: quiet },
      ],
      note: at.experiment.has("logit_fraction_explained_cosines") ? `These cosines explain ${formatPercent(at.experiment.at("logit_fraction_explained_cosines", at.run, at.epoch))} of the sum of squares of the network's logits at this epoch.` : "",
    };
  },
});

// The cosines of the key frequencies, α_k cos(w_k(a ± b − c)) for every c; α_k = v_k / √(p³/2) with the cosine coefficient v_k.
function waves(at, right) {
  const { prime: p } = at.experiment;
  const coefficients = at.experiment.row("cosine_coefficient", at.run, at.epoch);
  return at.keys.map((k) => {
    const height = coefficients[k - 1] / Math.sqrt(p ** 3 / 2);
    return { k, height, values: Array.from({ length: p }, (_, c) => height * Math.cos((2 * Math.PI * k * (right - c)) / p)) };
  });
}
