// Attention of one head at every pair, and the attention of every head averaged over pairs.

// The attention maps of a head, to a, to b and to “=”, from its stored scores; `score` is what `nearestStored` or `storedLast`
// returns for `attention_score_token`.
function attentionAt(current, score, head) {
  const { experiment } = current;
  const position = score.name.replace("token", "position");
  return cached(`attention ${experiment.name} ${[score.name, score.indices, head]}`, () =>
    attentionMaps(ofTokens(current, experiment.row(score.name, ...score.indices, head)), experiment.row(position, ...score.indices, head)));
}

const headOptions = (current) => Array.from({ length: current.experiment.runs[current.run].head_count }, (_, head) => [head, String(head)]);

addView({
  id: "attention",
  title: "Attention of a head",
  about: "Attention of the head from the token “=” to a, for every pair. In modular tasks, the pattern becomes periodic with one frequency.",
  requires: ["attention_score_token", "attention_score_position"],
  reads: ["epoch", "head", "a", "b"],
  width: 4,
  shape: "square",
  tools: [{ name: "head", label: "Head", options: headOptions }],
  draw(current) {
    const stored = nearestStored(current, "attention_score_token");
    const maps = attentionAt(current, stored, current.state.head);
    const { a, b, head } = current.state;
    const last = current.experiment.has("attention_frequency") ? [{ label: "frequency at the end", value: String(current.experiment.value("attention_frequency", current.run, head)), color: current.color(current.experiment.value("attention_frequency", current.run, head)) }] : [];
    return {
      traces: [{ type: "heatmap", z: maps[0], colorscale: "Viridis", zmin: 0, zmax: 1, colorbar: colorBar("Attention to a"), hovertemplate: "a = %{y}, b = %{x}: %{z:.3f}<extra></extra>" }],
      layout: { xaxis: columnAxis("b"), yaxis: rowAxis("a"), shapes: pairMark(current), margin: { l: 44, r: 4, t: 6, b: 40 } },
      numbers: [...["a", "b", "="].map((to, index) => ({ label: `(${a}, ${b}) to ${to}`, value: maps[index][a][b].toFixed(3) })), ...last],
      note: stored.note,
      lastOnly: stored.lastOnly,
    };
  },
  onClick: ({ x, y }) => ({ a: y, b: x }),
});

addView({
  id: "mean-attention",
  title: "Attention of all heads",
  about: "Attention of each head from the token “=” to a, b and “=” itself, averaged over all pairs. Click on a row to choose its head.",
  requires: ["mean_attention"],
  reads: ["epoch", "head"],
  width: 4,
  shape: "square",
  draw(current) {
    const { experiment } = current;
    const values = experiment.row("mean_attention", current.run, current.epoch);
    const rows = Array.from({ length: experiment.runs[current.run].head_count }, (_, head) => values.subarray(3 * head, 3 * head + 3));
    return {
      traces: [{
        type: "heatmap", x: ["a", "b", "="], y: rows.map((_, head) => `head ${head}`), z: rows, zmin: 0, zmax: 1, colorscale: pale(), xgap: 3, ygap: 3,
        texttemplate: "%{z:.3f}", textfont: { size: 13, color: style("--ink") }, colorbar: colorBar("Mean attention"), hovertemplate: "%{y} to %{x}: %{z:.3f}<extra></extra>",
      }],
      layout: {
        xaxis: axis("Attention to", { showgrid: false, ticks: "" }), yaxis: axis("", { autorange: "reversed", showgrid: false, ticks: "" }), margin: { l: 60, r: 4, t: 6, b: 40 },
        shapes: [{ type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y", y0: current.state.head - 0.48, y1: current.state.head + 0.48, line: { color: style("--ink"), width: 2.5 } }],
      },
      numbers: Array.from(rows[current.state.head], (value, index) => ({ label: `head ${current.state.head} to ${["a", "b", "="][index]}`, value: value.toFixed(3) })),
    };
  },
  onClick: ({ y }) => ({ head: Number(y.split(" ")[1]) }),
});
