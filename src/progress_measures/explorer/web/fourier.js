// Computations in the page: the Fourier basis, and maps of attention and neurons over (a, b) from the smaller arrays that are stored.
// Functions that fourier.py or analysis/pair_maps.py have too compute the same values; a test compares them.

const bases = new Map();

// The orthonormal basis F for p operand values: rows const, cos 1, sin 1, …; [component][x]. If p is even, the last cosine is ±1/√p and
// the last sine is 0.
function basis(p) {
  if (!bases.has(p)) {
    const rows = [new Float64Array(p).fill(1 / Math.sqrt(p))];
    for (let k = 1; k <= p / 2; k++)
      for (const wave of [Math.cos, Math.sin]) {
        const height = 2 * k < p ? Math.sqrt(2 / p) : wave === Math.cos ? Math.sqrt(1 / p) : 0;
        rows.push(Float64Array.from({ length: p }, (_, x) => height * wave((2 * Math.PI * ((k * x) % p)) / p)));
      }
    bases.set(p, rows);
  }
  return bases.get(p);
}

function componentNames(p) {
  return ["const", ...Array.from({ length: 2 * Math.floor(p / 2) }, (_, i) => `${i % 2 ? "sin" : "cos"} ${(i >> 1) + 1}`)];
}

function dot(left, right) {
  let sum = 0;
  for (let i = 0; i < left.length; i++) sum += left[i] * right[i];
  return sum;
}

// F M F^T of a map [a][b]: [component of a][component of b].
function spectrum2d(map) {
  const F = basis(map.length);
  const overB = map.map((row) => F.map((wave) => dot(wave, row))); // [a][component of b]
  const columns = F.map((_, j) => Float64Array.from(overB, (row) => row[j])); // [component of b][a]
  return F.map((wave) => Float64Array.from(columns, (column) => dot(wave, column)));
}

// Attention of a head from `=` to a, b and `=` over all pairs: three maps [a][b].
// token: part of the score that depends on the token, for each token, with `=` last. position: the part for each position.
function attentionMaps(token, position) {
  const p = token.length - 1;
  const maps = [0, 1, 2].map(() => Array.from({ length: p }, () => new Float64Array(p)));
  for (let a = 0; a < p; a++)
    for (let b = 0; b < p; b++) {
      const scores = [token[a] + position[0], token[b] + position[1], token[p] + position[2]];
      const [toA, toB, toEquals] = scores.map((score) => Math.exp(score - Math.max(...scores)));
      const total = toA + toB + toEquals;
      maps[0][a][b] = toA / total;
      maps[1][a][b] = toB / total;
      maps[2][a][b] = toEquals / total;
    }
  return maps;
}

// A neuron after the ReLU over all pairs, [a][b]. heads: one { maps, token, position } per head: its attention maps, and what it adds
// to the pre-activation per unit of attention to each token and to each position. offset: the pre-activation without attention.
function neuronMap(heads, offset) {
  const p = heads[0].token.length - 1;
  const map = Array.from({ length: p }, () => new Float64Array(p).fill(offset));
  for (const { maps, token, position } of heads)
    for (let a = 0; a < p; a++)
      for (let b = 0; b < p; b++)
        map[a][b] += maps[0][a][b] * (token[a] + position[0])
          + maps[1][a][b] * (token[b] + position[1])
          + maps[2][a][b] * (token[p] + position[2]);
  return map.map((row) => row.map((value) => Math.max(0, value)));
}

// The embedding projected onto the plane of its cos k and sin k components: { x, y }, one point per operand value. The cos k
// component is along x. W: the embedding as a flat array, with index value * width + dimension; p: number of operand values.
function onPlane(W, width, p, k) {
  const F = basis(p);
  const component = (wave) => {
    const sum = new Float64Array(width);
    for (let x = 0; x < p; x++) for (let d = 0; d < width; d++) sum[d] += wave[x] * W[x * width + d];
    return sum;
  };
  const unit = (vector) => {
    const length = Math.sqrt(dot(vector, vector)) || 1;
    return vector.map((entry) => entry / length);
  };
  const across = unit(component(F[2 * k - 1]));
  const sine = component(F[2 * k]);
  const overlap = dot(sine, across);
  const upward = unit(sine.map((entry, d) => entry - overlap * across[d]));
  const row = (x) => W.subarray(x * width, (x + 1) * width);
  return {
    x: Array.from({ length: p }, (_, x) => dot(row(x), across)),
    y: Array.from({ length: p }, (_, x) => dot(row(x), upward)),
  };
}
