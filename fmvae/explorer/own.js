// The view that takes a picture in: drawn, opened or dropped.

const BARS = 5;  // of a factor

class Own {
  // `compose` is the view that goes on from a picture.
  constructor(model, engine, compose, open) {
    Object.assign(this, {model, engine, compose, open});
    this.root = document.getElementById("own");
    const [height, width, channels] = model.image_shape;
    this.grain = Math.ceil(320 / Math.max(height, width));
    this.pad = this.root.querySelector(".pad");
    this.pad.width = width * this.grain;
    this.pad.height = height * this.grain;
    this.pad.setAttribute("aria-label", "Drawing area");
    this.context = this.pad.getContext("2d", {willReadFrequently: true});
    this.ink = "#ffffff";
    this.kept = model.factors.map(() => null);
    this.turn = 0;
    if (channels === 3) {
      this.root.querySelector(".pen").hidden = false;
      const colour = this.root.querySelector("[type=color]");
      colour.value = this.ink = "#e04030";
      colour.addEventListener("input", () => { this.ink = colour.value; });
    }
    this.fields = model.factors.map((_, i) => this.field(i));
    this.root.querySelector(".bars").append(...this.fields.map(f => f.root));
    const act = (name, what) => this.root.querySelector(
      `[data-act=${name}]`).addEventListener("click", what);
    act("clear", () => this.clear());
    act("take", () => this.take());
    act("test", () => this.useTest(
      Math.floor(Math.random() * model.neighbours.count)));
    this.root.querySelector("[data-act=test]").hidden = !model.neighbours;
    this.root.querySelector(".swap").addEventListener("change", () => {
      this.source = this.source.map(v => 1 - v);
      this.encode();
    });
    this.neighbours = new Neighbours(model, this.root.querySelector(".real"),
      () => this.asQuery(), n => this.useTest(n), "Take this picture");
    this.listen();
    this.clear();
  }

  listen() {
    const {pad, context} = this;
    const at = event => {
      const box = pad.getBoundingClientRect();
      return [(event.clientX - box.left) * pad.width / box.width,
        (event.clientY - box.top) * pad.height / box.height];
    };
    let last = null;
    pad.addEventListener("pointerdown", event => {
      if (event.button) return;
      pad.setPointerCapture(event.pointerId);
      last = at(event);
      this.line(last, last);
    });
    pad.addEventListener("pointermove", event => {
      if (!last) return;
      const next = at(event);
      this.line(last, next);
      last = next;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      pad.addEventListener(end, () => { last = null; });
    }
    this.pen = [pad.width / 2, pad.height / 2];
    this.down = false;
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
      ArrowDown: [0, 1]};
    pad.addEventListener("keydown", event => {
      if (event.key === " ") {
        this.down = !this.down;
        this.note(this.down ? "Pen down" : "Pen up");
        if (this.down) this.line(this.pen, this.pen);
      } else if (moves[event.key]) {
        const next = this.pen.map((v, axis) => Math.min(Math.max(
          v + moves[event.key][axis] * this.grain, 0),
          axis ? pad.height : pad.width));
        if (this.down) this.line(this.pen, next);
        this.pen = next;
      } else {
        return;
      }
      event.preventDefault();
    });
    this.root.querySelector("[type=file]").addEventListener("change",
      event => {
        this.read(event.target.files[0]);
        event.target.value = "";
      });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, event => {
        event.preventDefault();
        pad.classList.toggle("over", kind === "dragover");
        const file = kind === "drop" && event.dataTransfer.files[0];
        if (!file) return;
        this.open();
        this.read(file);
      });
    }
  }

  note(text) {
    this.root.querySelector(".said").textContent = text;
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.pad.width, this.pad.height);
    this.fromPad();
  }

  line(from, to) {
    const {context} = this;
    context.strokeStyle = this.ink;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = Math.max(this.pad.width, this.pad.height) / 12;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    this.fromPad();
  }

  fromPad() {
    this.fit(this.context.getImageData(0, 0, this.pad.width, this.pad.height));
  }

  // A file, cut as the run's pictures were; what is transparent is white.
  async read(file) {
    if (!file) return;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      this.note("This file is no picture that the browser can open.");
      return;
    }
    let {width, height} = bitmap, left = 0, top = 0;
    if (this.model.crop === "centre") {
      const side = Math.min(width, height);
      [left, top] = [width - side >> 1, height - side >> 1];
      width = height = side;
    }
    const canvas = make("canvas", {width, height});
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, -left, -top);
    this.fit(context.getImageData(0, 0, width, height));
    this.onPad();
  }

  useTest(n) {
    this.source = testPicture(this.model, n);
    this.onPad();
    this.encode();
  }

  // Shows on the pad what did not come from it.
  onPad() {
    const canvas = blank(this.model.image_shape);
    paint(canvas, this.source, this.model.image_shape);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(canvas, 0, 0, this.pad.width, this.pad.height);
  }

  // Each pixel becomes the mean of the area that it covers, in whole steps.
  fit({data, width, height}) {
    const [tall, wide, channels] = this.model.image_shape;
    const out = new Float32Array(tall * wide * channels);
    const across = overlaps(width, wide), down = overlaps(height, tall);
    for (let y = 0; y < tall; y++) {
      for (let x = 0; x < wide; x++) {
        const sums = [0, 0, 0];
        for (const [from, share] of down[y]) {
          for (const [at, part] of across[x]) {
            const weight = share * part, place = 4 * (from * width + at);
            for (let c = 0; c < 3; c++) sums[c] += weight * data[place + c];
          }
        }
        const values = channels === 3 ? sums
          : [0.299 * sums[0] + 0.587 * sums[1] + 0.114 * sums[2]];
        values.forEach((v, c) => {
          out[(y * wide + x) * channels + c] = Math.round(v) / 255;
        });
      }
    }
    this.source = this.root.querySelector(".swap").checked
      ? out.map(v => 1 - v) : out;
    this.encode();
  }

  async encode() {
    const turn = ++this.turn, {model} = this;
    const current = () => turn === this.turn;
    const seen = model.binary
      ? this.source.map(v => v > model.threshold ? 1 : 0) : this.source;
    paint(this.root.querySelector(".seen"), seen, model.image_shape);
    const input = model.binary ? seen : seen.map(v => Math.round(255 * v));
    const [[loc, logVar]] = await this.engine.run(
      "encode", [input], true, current);
    if (!current()) return;
    this.loc = loc;
    this.resp = model.factors.map(factor => {
      const [a, b] = [factor.first, factor.first + factor.size];
      return responsibilities(
        factor, loc.subarray(a, b), logVar.subarray(a, b));
    });
    this.codes = this.resp.map(largest);
    this.fields.forEach((field, i) => field.show(this.resp[i]));
    this.note(`Most probable: ${say(model, this.codes)}`);
    this.neighbours.show();
    paint(this.root.querySelector(".again"),
      await this.engine.decode(loc, true, current), model.image_shape);
    this.exchange();
    this.root.dataset.encoded = String(turn);
  }

  // As `Trained.edit`: the mean of the new component, all else of q(z|x).
  edited() {
    const z = this.loc.slice();
    this.model.factors.forEach((factor, i) => {
      const k = this.kept[i];
      if (k !== null && k !== this.codes[i]) {
        z.set(rowOf(factor, factor.m, k), factor.first);
      }
    });
    return z;
  }

  async exchange() {
    const turn = this.turn;
    const pixels = await this.engine.decode(this.edited(), true,
      () => turn === this.turn);
    paint(this.root.querySelector(".edited"), pixels, this.model.image_shape);
  }

  field(i) {
    const factor = this.model.factors[i];
    const bars = make("div"), select = make("select", {},
      option("", "keep"), ...inUse(factor).map(
        k => option(k, called(factor, k))));
    const keep = k => {
      this.kept[i] = k;
      select.value = k === null ? "" : String(k);
      for (const bar of bars.querySelectorAll("button")) {
        bar.setAttribute("aria-pressed", bar.value === String(k));
      }
      this.exchange();
    };
    select.addEventListener("change",
      () => keep(select.value === "" ? null : Number(select.value)));
    const show = resp => {
      const order = resp.map((_, k) => k).sort((k, l) => resp[l] - resp[k]);
      bars.replaceChildren(
        ...order.slice(0, BARS).map(k => this.bar(i, k, resp[k], keep)));
      const rest = order.slice(BARS).reduce((sum, k) => sum + resp[k], 0);
      if (order.length > BARS) {
        bars.append(make("p", {className: "small", textContent:
          `${order.length - BARS} others: ${percent(rest)}`}));
      }
    };
    return {show, root: make("fieldset", {},
      make("legend", {textContent: `q(r|x) of ${factor.name}`}), bars,
      make("label", {}, "Exchange for ", select))};
  }

  // A component's probability, and the picture that has it; pressed, it is
  // exchanged for what the picture had, and pressed again no longer.
  bar(i, k, share, keep) {
    const factor = this.model.factors[i];
    const canvas = blank(this.model.image_shape), line = make("span");
    line.style.width = `${100 * share}%`;
    const bar = make("button", {className: "bar", type: "button",
      value: String(k), "aria-pressed": String(this.kept[i] === k)}, canvas,
      make("span", {className: "name", textContent: called(factor, k)}),
      make("span", {className: "line", "aria-hidden": "true"}, line),
      make("span", {className: "number", textContent: percent(share)}));
    bar.addEventListener("click", () => keep(this.kept[i] === k ? null : k));
    const z = this.loc.slice(), {turn} = this;
    if (k !== this.codes[i]) z.set(rowOf(factor, factor.m, k), factor.first);
    this.engine.decode(z, false, () => turn === this.turn).then(
      pixels => paint(canvas, pixels, this.model.image_shape));
    return bar;
  }

  asQuery() {
    const about = this.model.factors.map(
      (factor, i) => expected(factor, this.resp[i]));
    return {codes: this.codes, about};
  }

  // The composition that is this picture, exchanged factors and all.
  take() {
    const z = this.edited();
    this.model.factors.forEach((factor, i) => {
      const k = this.kept[i] === null ? this.codes[i] : this.kept[i];
      const part = z.subarray(factor.first, factor.first + factor.size);
      const m = rowOf(factor, factor.m, k);
      this.compose.choose(i, k, part.map((v, d) => v - m[d]));
    });
    this.open("compose");
    this.compose.show();
  }
}

// For each of `to` pixels along a side of `from`, [place, share] of those it
// covers; shares sum to one.
function overlaps(from, to) {
  const each = from / to;
  return Array.from({length: to}, (_, i) => {
    const out = [], start = i * each, end = (i + 1) * each;
    for (let at = Math.floor(start); at < Math.min(from, end); at++) {
      const share = (Math.min(at + 1, end) - Math.max(at, start)) / each;
      if (share > 1e-9) out.push([at, share]);
    }
    return out;
  });
}
