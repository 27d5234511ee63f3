// What packing.py has put into the page, and the mathematics of the mixture.

const SUPPORTED = "DecompressionStream" in window;

// The numbers of the file: the description, with its arrays in place.
async function unpack() {
  const text = document.getElementById("numbers").textContent.trim();
  const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(
    new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const model = JSON.parse(document.getElementById("model").textContent);
  model.arrays = model.arrays.map(entry => readArray(bytes, entry));
  const arrayAt = at => model.arrays[at];
  for (const factor of model.factors) {
    for (const name of ["m", "precision", "constant", "a", "scale"]) {
      factor[name] = arrayAt(factor[name]).values;
    }
  }
  for (const program of Object.values(model.programs)) {
    program.constants = program.constants.map(arrayAt);
  }
  if (model.neighbours) {
    for (const name of ["pictures", "codes", "means", "spreads"]) {
      model.neighbours[name] = arrayAt(model.neighbours[name]).values;
    }
  }
  return model;
}

// An array, whose bytes lie apart: all first ones, then all second ones.
function readArray(bytes, {kind, shape, start}) {
  const length = shape.reduce((n, side) => n * side, 1);
  const width = {u1: 1, u2: 2, f2: 2, f4: 4}[kind];
  const own = new Uint8Array(length * width);
  for (let byte = 0; byte < width; byte++) {
    for (let i = 0; i < length; i++) {
      own[i * width + byte] = bytes[start + byte * length + i];
    }
  }
  const types = {u1: Uint8Array, u2: Uint16Array, f4: Float32Array};
  const values = kind === "f2"
    ? fromHalf(new Uint16Array(own.buffer)) : new types[kind](own.buffer);
  return {shape, values};
}

function fromHalf(halves) {
  return Float32Array.from(halves, half => {
    const sign = half & 0x8000 ? -1 : 1, exponent = half >> 10 & 31;
    const rest = half & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024)
      : 2 ** -24 * rest);
  });
}

// The worker. Of what waits, what a person waits for comes first.
class Engine {
  constructor(programs) {
    const source = document.getElementById("engine").textContent;
    const url = URL.createObjectURL(
      new Blob([source], {type: "text/javascript"}));
    this.worker = new Worker(url);
    this.worker.onmessage = ({data}) => this.answer(data);
    this.worker.postMessage({programs});
    this.waiting = [[], []];
    this.running = null;
    this.ms = {};
  }

  // Outputs of each input. Work that is not `urgent` is left out, and its
  // promise never kept, where `wanted` says no when its turn comes.
  run(name, inputs, urgent = true, wanted = () => true) {
    return new Promise((resolve, reject) => {
      this.waiting[urgent ? 0 : 1].push(
        {name, inputs, wanted, resolve, reject});
      this.next();
    });
  }

  async decode(z, urgent, wanted) {
    return (await this.run("decode", [z], urgent, wanted))[0][0];
  }

  next() {
    while (!this.running) {
      const job = this.waiting[0].shift() || this.waiting[1].shift();
      if (!job) return;
      if (!job.wanted()) continue;
      this.running = job;
      this.worker.postMessage({run: job.name, id: 0, inputs: job.inputs});
    }
  }

  answer({outputs, ms, error}) {
    const job = this.running;
    if (!job) throw new Error(error);
    this.running = null;
    this.next();
    if (error) {
      job.reject(new Error(error));
    } else {
      const all = this.ms[job.name] ||= [];
      all.push(ms);
      if (all.length > 50) all.shift();
      job.resolve(outputs);
    }
  }

  // Median of the last times, in milliseconds a picture.
  typical(name) {
    const sorted = [...(this.ms[name] || [])].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }
}

const rowOf = (factor, values, k) =>
  values.subarray(k * factor.size, (k + 1) * factor.size);

// q(r|x) of one factor (eq. 5), for its part of the encoding.
function responsibilities(factor, loc, logVar) {
  const logits = factor.names.map((_, k) => {
    const m = rowOf(factor, factor.m, k);
    const precision = rowOf(factor, factor.precision, k);
    let quad = 0;
    for (let d = 0; d < factor.size; d++) {
      quad += precision[d] * ((loc[d] - m[d]) ** 2 + Math.exp(logVar[d]));
    }
    return factor.constant[k] - 0.5 * quad;
  });
  const most = Math.max(...logits);
  const weights = logits.map(logit => Math.exp(logit - most));
  const total = weights.reduce((sum, w) => sum + w, 0);
  return weights.map(w => w / total);
}

const largest = values =>
  values.reduce((best, v, i) => v > values[best] ? i : best, 0);

function normal() {
  const radius = Math.sqrt(-2 * Math.log(1 - Math.random()));
  return radius * Math.cos(2 * Math.PI * Math.random());
}

// Marsaglia and Tsang; the logarithm, as a may be close to 0.
function logGamma(a) {
  if (a < 1) return logGamma(a + 1) + Math.log(1 - Math.random()) / a;
  const d = a - 1 / 3;
  for (;;) {
    const x = normal(), v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v <= 0) continue;
    const u = 1 - Math.random();
    if (Math.log(u) < 0.5 * x * x + d * (1 - v + Math.log(v))) {
      return Math.log(d * v);
    }
  }
}

// A draw of z_i from component k, a Student-t in each dimension (eq. 10).
function drawInside(factor, k) {
  const m = rowOf(factor, factor.m, k), a = rowOf(factor, factor.a, k);
  const scale = rowOf(factor, factor.scale, k);
  return m.map((mean, d) => {
    // scale^2 = (s + 1) b / (s a), and a draw of alpha b is Gamma(a, 1)
    const log = Math.log(scale[d]) + 0.5 * (Math.log(a[d]) - logGamma(a[d]));
    return mean + Math.exp(Math.min(log, 40)) * normal();
  });
}

// A component by its share, k ~ Cat(c / sum c).
function drawComponent(factor) {
  let left = Math.random();
  for (let k = 0; k < factor.share.length; k++) {
    left -= factor.share[k];
    if (left < 0) return k;
  }
  return largest(factor.share);
}

// Eigenvalues and eigenvectors of a symmetric matrix, largest first (Jacobi).
function eigen(matrix) {
  const n = matrix.length, a = matrix.map(row => [...row]);
  const v = a.map((_, i) => a.map((_, j) => i === j ? 1 : 0));
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        off += Math.abs(a[p][q]);
        if (Math.abs(a[p][q]) < 1e-12) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) /
          (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1), s = t * c;
        for (let i = 0; i < n; i++) {
          [a[i][p], a[i][q]] =
            [c * a[i][p] - s * a[i][q], s * a[i][p] + c * a[i][q]];
        }
        for (let i = 0; i < n; i++) {
          [a[p][i], a[q][i]] =
            [c * a[p][i] - s * a[q][i], s * a[p][i] + c * a[q][i]];
          [v[i][p], v[i][q]] =
            [c * v[i][p] - s * v[i][q], s * v[i][p] + c * v[i][q]];
        }
      }
    }
    if (off < 1e-9) break;
  }
  const order = a.map((_, i) => i).sort((i, j) => a[j][j] - a[i][i]);
  return order.map(i => ({value: a[i][i], vector: v.map(row => row[i])}));
}

// The directions in z_i along which a step of one scale of component k changes
// the picture most: singular vectors of the decoder's differences at z.
async function directions(model, engine, i, k, z, wanted) {
  const factor = model.factors[i];
  const scale = rowOf(factor, factor.scale, k), h = 0.5;
  const columns = [];
  for (let d = 0; d < factor.size; d++) {
    const ends = [1, -1].map(sign => {
      const moved = Float32Array.from(z);
      moved[factor.first + d] += sign * h * scale[d];
      return moved;
    });
    const [[up], [down]] = await engine.run("decode", ends, false, wanted);
    columns.push(up.map((v, at) => (v - down[at]) / (2 * h)));
  }
  const gram = columns.map(x => columns.map(y => {
    let sum = 0;
    for (let at = 0; at < x.length; at++) sum += x[at] * y[at];
    return sum;
  }));
  const found = eigen(gram);
  const total = found.reduce((sum, {value}) => sum + Math.max(value, 0), 0);
  return found.slice(0, 3).map(({value, vector}) => ({
    share: total ? Math.max(value, 0) / total : 0,
    step: Float32Array.from(vector, (v, d) => v * scale[d]),
  }));
}

// What a factor's components say of a picture, given q(r|x): the mean of their
// means, and the variance about it.
function expected(factor, weights) {
  const mean = new Float64Array(factor.size);
  let square = 0;
  weights.forEach((w, k) => {
    if (w > 0) rowOf(factor, factor.m, k).forEach((m, d) => mean[d] += w * m);
  });
  weights.forEach((w, k) => {
    if (w > 0) {
      rowOf(factor, factor.m, k).forEach((m, d) => {
        square += w * (m - mean[d]) ** 2;
      });
    }
  });
  return {mean, spread: square};
}

// The test pictures that are closest, E |m_r - m_r'|^2 summed over the factors
// that are to be the 'same', without those of 'another' that have that code.
function nearest(model, codes, about, wishes, number) {
  const {means, spreads, codes: theirs, count} = model.neighbours;
  const found = [];
  const factors = model.factors.length, latent = means.length / count;
  for (let n = 0; n < count; n++) {
    let distance = 0, left = false;
    model.factors.forEach((factor, i) => {
      if (wishes[i] === "another" && theirs[n * factors + i] === codes[i]) {
        left = true;
      }
      if (wishes[i] !== "same") return;
      distance += about[i].spread + spreads[n * factors + i];
      for (let d = 0; d < factor.size; d++) {
        const at = n * latent + factor.first + d;
        distance += (means[at] - about[i].mean[d]) ** 2;
      }
    });
    if (!left) found.push({n, distance});
  }
  return found.sort((a, b) => a.distance - b.distance).slice(0, number);
}

function testPicture(model, n) {
  const [height, width, channels] = model.image_shape;
  const each = height * width * channels;
  const bytes = model.neighbours.pictures.subarray(n * each, (n + 1) * each);
  return Float32Array.from(bytes, v => v / 255);
}
