// The page's worker: runs the operations that program.py lists.
//
// A message {programs} holds programs by name; {run, id, inputs} runs one of
// them on each input and answers {id, outputs, ms}. All numbers are float32.
"use strict";

const MAPS = {
  abs: Math.abs,
  cbrt: Math.cbrt,
  ceil: Math.ceil,
  cos: Math.cos,
  erf: erf,
  exp: Math.exp,
  exp2: x => 2 ** x,
  expm1: Math.expm1,
  floor: Math.floor,
  log: Math.log,
  log1p: Math.log1p,
  logistic: x => 1 / (1 + Math.exp(-x)),
  neg: x => -x,
  not: x => 1 - x,
  rsqrt: x => 1 / Math.sqrt(x),
  sign: Math.sign,
  sin: Math.sin,
  sqrt: Math.sqrt,
  tanh: Math.tanh,
  trunc: Math.trunc,
  add: (x, y) => x + y,
  div: (x, y) => x / y,
  eq: (x, y) => x === y ? 1 : 0,
  ge: (x, y) => x >= y ? 1 : 0,
  gt: (x, y) => x > y ? 1 : 0,
  le: (x, y) => x <= y ? 1 : 0,
  lt: (x, y) => x < y ? 1 : 0,
  max: (x, y) => x > y || x !== x ? x : y,
  min: (x, y) => x < y || x !== x ? x : y,
  mul: (x, y) => x * y,
  ne: (x, y) => x !== y ? 1 : 0,
  pow: (x, y) => x ** y,
  sub: (x, y) => x - y,
  select: (which, x, y) => which ? y : x,
};

// Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t -
    0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - p * Math.exp(-x * x));
}

const AT_ONCE = 64;  // outputs of a convolution

const size = shape => shape.reduce((n, side) => n * side, 1);

function stridesOf(shape) {
  const strides = new Array(shape.length);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step *= shape[d];
  }
  return strides;
}

// For each element of an array of `shape`, sum_d strides_d i_d + start.
function places(shape, strides, start) {
  const out = new Int32Array(size(shape));
  const index = new Array(shape.length).fill(0);
  let place = start;
  for (let i = 0; i < out.length; i++) {
    out[i] = place;
    for (let d = shape.length - 1; d >= 0; d--) {
      place += strides[d];
      if (++index[d] < shape[d]) break;
      place -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}

// Each maker returns a function that fills `out` from the operands `read`,
// which are arrays that stay where they are.
const MAKERS = {
  view(op, out, [x]) {
    const from = places(op.shape, op.strides, op.start);
    return () => {
      for (let i = 0; i < out.length; i++) out[i] = x[from[i]];
    };
  },

  pad(op, out, [x], [shape]) {
    const strides = stridesOf(op.shape);
    const to = new Int32Array(x.length);
    const index = new Array(shape.length).fill(0);
    for (let i = 0; i < x.length; i++) {
      to[i] = 0;
      for (let d = 0; d < shape.length; d++) {
        const at = op.low[d] + index[d] * op.every[d];
        if (at < 0 || at >= op.shape[d]) {
          to[i] = -1;
          break;
        }
        to[i] += at * strides[d];
      }
      for (let d = shape.length - 1; d >= 0; d--) {
        if (++index[d] < shape[d]) break;
        index[d] = 0;
      }
    }
    return () => {
      out.fill(op.value);
      for (let i = 0; i < x.length; i++) if (to[i] >= 0) out[to[i]] = x[i];
    };
  },

  concat(op, out, read, shapes) {
    const inner = size(op.shape.slice(op.axis + 1));
    const outer = size(op.shape.slice(0, op.axis));
    const rows = shapes.map(shape => shape[op.axis] * inner);
    const width = op.shape[op.axis] * inner;
    return () => {
      for (let n = 0; n < outer; n++) {
        let to = n * width;
        read.forEach((x, i) => {
          out.set(x.subarray(n * rows[i], (n + 1) * rows[i]), to);
          to += rows[i];
        });
      }
    };
  },

  map(op, out, read, shapes) {
    const f = MAPS[op.f], n = out.length;
    const [x, y, w] = read;
    const [i0, i1, i2] = shapes.map(shape => spread(shape, op.shape));
    if (read.length === 1) {
      return () => {
        for (let i = 0; i < n; i++) out[i] = f(x[i]);
      };
    }
    if (read.length === 3) {
      return () => {
        for (let i = 0; i < n; i++) {
          out[i] = f(
            x[i0 ? i0[i] : i], y[i1 ? i1[i] : i], w[i2 ? i2[i] : i]);
        }
      };
    }
    // The two of every layer, written out.
    if (op.f === "max" && y.length === 1) {
      return () => {
        const least = y[0];
        for (let i = 0; i < n; i++) out[i] = x[i] > least ? x[i] : least;
      };
    }
    if (op.f === "add" && !i0) {
      const m = y.length;
      if (shapes[1].slice(0, -1).every(side => side === 1)) {
        return () => {
          for (let i = 0; i < n; i += m) {
            for (let j = 0; j < m; j++) out[i + j] = x[i + j] + y[j];
          }
        };
      }
    }
    return () => {
      for (let i = 0; i < n; i++) {
        out[i] = f(x[i0 ? i0[i] : i], y[i1 ? i1[i] : i]);
      }
    };
  },

  reduce(op, out, [x], [shape]) {
    const f = MAPS[op.f], n = shape[shape.length - 1];
    return () => {
      for (let i = 0; i < out.length; i++) {
        let total = x[i * n];
        for (let j = 1; j < n; j++) total = f(total, x[i * n + j]);
        out[i] = total;
      }
    };
  },

  matmul(op, out, [a, b], [[batch, m, k], [, , n]]) {
    return () => {
      for (let i = 0; i < batch; i++) {
        multiply(
          a.subarray(i * m * k, (i + 1) * m * k),
          b.subarray(i * k * n, (i + 1) * k * n),
          out.subarray(i * m * n, (i + 1) * m * n), m, k, n);
      }
    };
  },

  conv(op, out, [x, kernel], [[batch, height, width], taps]) {
    const channels = x.length / (batch * height * width);
    const [, rows, columns, features] = op.shape;
    const sides = [0, 1].map(axis => phases(
      [height, width][axis], [rows, columns][axis], taps[axis],
      op.stride[axis], op.low[axis], op.spread[axis], op.dilation[axis]));
    const inner = channels / op.groups, made = features / op.groups;
    const jobs = [];
    for (let group = 0; group < op.groups; group++) {
      for (const down of sides[0]) {
        for (const right of sides[1]) {
          const weights = [];
          for (const t of down.taps) {
            for (const u of right.taps) {
              for (let c = 0; c < inner; c++) {
                const at = ((t * taps[1] + u) * inner + c) * features;
                weights.push(kernel.subarray(
                  at + group * made, at + (group + 1) * made));
              }
            }
          }
          const depth = weights.length, wide = right.outs.length;
          const matrix = new Float32Array(depth * made);
          weights.forEach((row, i) => matrix.set(row, i * made));
          const panels = Math.ceil(made / 4);
          const packed = pack(
            matrix, depth, made, new Float32Array(panels * depth * 4));
          const lines = Math.min(down.outs.length, Math.ceil(AT_ONCE / wide));
          jobs.push({down, right, group, depth, wide, panels, packed, lines});
        }
      }
    }
    const area = height * width * channels, made1 = rows * columns * features;
    return () => {
      for (let b = 0; b < batch; b++) {
        const from = x.subarray(b * area, (b + 1) * area);
        const to = out.subarray(b * made1, (b + 1) * made1);
        for (const job of jobs) {
          convolve(job, from, to, width, columns, channels, features, inner,
            made);
        }
      }
    };
  },
};

// The places of x that an operand of `map` is read at, null for its own.
function spread(shape, to) {
  if (size(shape) === size(to)) return null;
  const own = stridesOf(shape);
  const strides = to.map((side, d) => {
    const at = d - (to.length - shape.length);
    return at < 0 || shape[at] === 1 ? 0 : own[at];
  });
  return places(to, strides, 0);
}

// Along one side of a convolution: the outputs that meet the same taps of the
// kernel, and where each of these lies in the input, -1 beyond its edge. Where
// the input is spread (a transposed convolution), zeros are never multiplied.
function phases(length, made, taps, stride, low, spreadBy, dilation) {
  const found = [];
  for (let phase = 0; phase < Math.min(spreadBy, made); phase++) {
    const outs = [], froms = [], met = [];
    for (let t = 0; t < taps; t++) {
      const at = phase * stride + t * dilation - low;
      if (((at % spreadBy) + spreadBy) % spreadBy === 0) met.push(t);
    }
    for (let out = phase; out < made; out += spreadBy) {
      outs.push(out);
      froms.push(met.map(t => {
        const at = (out * stride + t * dilation - low) / spreadBy;
        return at >= 0 && at < length ? at : -1;
      }));
    }
    found.push({taps: met, outs, froms});
  }
  return found;
}

// The outputs of one job, some lines of them at a time: their patches, one
// below the other, times the kernel.
function convolve(job, x, out, width, columns, channels, features, inner,
  made) {
  const {down, right, group, depth, wide, panels, packed, lines} = job;
  const most = Math.ceil(lines * wide / 4) * 4;
  const patches = scratch(0, most * depth), n = 4 * panels;
  const sums = scratch(1, most * n);
  for (let i = 0; i < down.outs.length; i += lines) {
    const some = down.outs.slice(i, i + lines);
    let at = 0;
    some.forEach((_, line) => {
      at = gather(x, patches, at, down.froms[i + line], right, width, channels,
        group * inner, inner);
    });
    multiplyPanels(patches, packed, sums,
      Math.ceil(some.length * wide / 4) * 4, depth, panels);
    let row = 0;
    for (const y of some) {
      for (let j = 0; j < wide; j++, row += n) {
        const to = (y * columns + right.outs[j]) * features + group * made;
        for (let c = 0; c < made; c++) out[to + c] = sums[row + c];
      }
    }
  }
}

// The patches of one line of outputs, from `to` on; returns where they end.
function gather(x, patches, to, ys, right, width, channels, first, inner) {
  for (let j = 0; j < right.outs.length; j++) {
    const xs = right.froms[j];
    for (let t = 0; t < ys.length; t++) {
      for (let u = 0; u < xs.length; u++) {
        if (ys[t] < 0 || xs[u] < 0) {
          for (let c = 0; c < inner; c++) patches[to++] = 0;
        } else {
          const at = (ys[t] * width + xs[u]) * channels + first;
          for (let c = 0; c < inner; c++) patches[to++] = x[at + c];
        }
      }
    }
  }
  return to;
}

const kept = [];

function scratch(which, length) {
  if (!kept[which] || kept[which].length < length) {
    kept[which] = new Float32Array(length);
  }
  return kept[which];
}

// out [m, n] = a [m, k] b [k, n], row by row in memory.
function multiply(a, b, out, m, k, n) {
  if (m < 4) {
    for (let i = 0; i < m; i++) oneRow(a, b, out, i, k, n);
    return;
  }
  const panels = Math.ceil(n / 4), whole = Math.ceil(m / 4) * 4;
  const sums = scratch(4, whole * panels * 4), rows = scratch(5, whole * k);
  rows.set(a);
  multiplyPanels(rows, pack(b, k, n, scratch(6, panels * k * 4)), sums, whole,
    k, panels);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) out[i * n + j] = sums[i * panels * 4 + j];
  }
}

// [k, n] as panels of four columns, one after the other, each [k, 4].
function pack(b, k, n, out) {
  for (let j = 0; j < Math.ceil(n / 4) * 4; j++) {
    const to = (j >> 2) * k * 4 + (j & 3);
    for (let q = 0; q < k; q++) out[to + 4 * q] = j < n ? b[q * n + j] : 0;
  }
  return out;
}

// out [m, 4 panels] = a [m, k] b, whose columns are packed; m is a multiple of
// four. Sixteen sums at a time stay in registers.
function multiplyPanels(a, b, out, m, k, panels) {
  const n = 4 * panels;
  for (let i = 0; i < m; i += 4) {
    const a0 = i * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k;
    for (let p = 0; p < panels; p++) {
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0;
      let s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      let s20 = 0, s21 = 0, s22 = 0, s23 = 0;
      let s30 = 0, s31 = 0, s32 = 0, s33 = 0;
      for (let q = 0, at = p * k * 4; q < k; q++, at += 4) {
        const b0 = b[at], b1 = b[at + 1], b2 = b[at + 2], b3 = b[at + 3];
        const x0 = a[a0 + q], x1 = a[a1 + q], x2 = a[a2 + q], x3 = a[a3 + q];
        s00 += x0 * b0; s01 += x0 * b1; s02 += x0 * b2; s03 += x0 * b3;
        s10 += x1 * b0; s11 += x1 * b1; s12 += x1 * b2; s13 += x1 * b3;
        s20 += x2 * b0; s21 += x2 * b1; s22 += x2 * b2; s23 += x2 * b3;
        s30 += x3 * b0; s31 += x3 * b1; s32 += x3 * b2; s33 += x3 * b3;
      }
      let o = i * n + 4 * p;
      out[o] = s00; out[o + 1] = s01; out[o + 2] = s02; out[o + 3] = s03;
      o += n;
      out[o] = s10; out[o + 1] = s11; out[o + 2] = s12; out[o + 3] = s13;
      o += n;
      out[o] = s20; out[o + 1] = s21; out[o + 2] = s22; out[o + 3] = s23;
      o += n;
      out[o] = s30; out[o + 1] = s31; out[o + 2] = s32; out[o + 3] = s33;
    }
  }
}

// One row, by rows of b; a unit that ReLU has set to 0 costs nothing.
function oneRow(a, b, out, i, k, n) {
  const sums = scratch(3, n);
  sums.fill(0, 0, n);
  for (let q = 0; q < k; q++) {
    const x = a[i * k + q];
    if (x === 0) continue;
    const at = q * n;
    for (let j = 0; j < n; j++) sums[j] += x * b[at + j];
  }
  for (let j = 0; j < n; j++) out[i * n + j] = sums[j];
}

// A function from an input to the outputs of a program.
function compile(program) {
  const input = new Float32Array(size(program.input_shape));
  const values = [input, ...program.constants.map(c => c.values)];
  const shapes = [program.input_shape, ...program.constants.map(c => c.shape)];
  const steps = [];
  for (const op of program.ops) {
    const read = op.in.map(i => values[i]);
    if (op.op === "same") {
      values.push(read[0]);
    } else {
      const out = new Float32Array(size(op.shape));
      steps.push(MAKERS[op.op](op, out, read, op.in.map(i => shapes[i])));
      values.push(out);
    }
    shapes.push(op.shape);
  }
  return given => {
    input.set(given);
    for (const step of steps) step();
    return program.outputs.map(i => values[i].slice());
  };
}

const programs = {};

self.onmessage = ({data}) => {
  try {
    for (const [name, program] of Object.entries(data.programs || {})) {
      programs[name] = compile(program);
    }
    if (!data.run) return;
    const start = performance.now();
    const outputs = data.inputs.map(programs[data.run]);
    const ms = (performance.now() - start) / data.inputs.length;
    self.postMessage({id: data.id, outputs, ms},
      outputs.flat().map(array => array.buffer));
  } catch (error) {
    self.postMessage({id: data.id, error: String(error)});
  }
};
