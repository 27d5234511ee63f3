// Pieces that every view uses. Text from the data goes through textContent.

// An element with properties, attributes where the name has a dash, children.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") {
      element.setAttribute(name, value);
    } else {
      element[name] = value;
    }
  }
  element.append(...children);
  return element;
}

// Pixels from 0 to 1, [H, W, 1 or 3], as the canvas's own.
function paint(canvas, pixels, [height, width, channels]) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      const value = pixels[i * channels + (channels === 3 ? c : 0)];
      image.data[4 * i + c] = Math.round(255 * value);
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function blank([height, width]) {
  return make("canvas", {width, height, "aria-hidden": "true"});
}

function percent(share) {
  if (share < 0.0005) return share > 0 ? "< 0.1 %" : "0 %";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

const isNamed = (factor, k) => factor.names[k] !== String(k);

const called = (factor, k) =>
  isNamed(factor, k) ? factor.names[k] : `component ${k}`;

// Components in use, those with a name first and as they come, then by share.
function inUse(factor) {
  const used = factor.names.map((_, k) => k).filter(k => !factor.pruned[k]);
  return used.sort((k, l) => isNamed(factor, l) - isNamed(factor, k) ||
    (isNamed(factor, k) ? k - l : factor.share[l] - factor.share[k]));
}

function say(model, codes) {
  return model.factors.map((factor, i) =>
    isNamed(factor, codes[i]) ? `${factor.name}: ${factor.names[codes[i]]}`
      : `${factor.name}: ${codes[i]}`).join(", ");
}

function option(value, text) {
  return make("option", {value: String(value), textContent: text});
}

// Neighbours among the test pictures, and what a person wants of them.
class Neighbours {
  // `query` says {codes, about}, `use` takes a picture that was chosen.
  constructor(model, card, query, use, label) {
    Object.assign(this, {model, card, query, use, label});
    card.hidden = !model.neighbours;
    this.wishes = model.factors.map(() => "same");
    if (!model.neighbours || model.factors.length < 2) return;
    const box = card.querySelector(".wishes");
    model.factors.forEach((factor, i) => {
      const select = make("select", {}, option("same", "the same"),
        option("any", "any"), option("another", "another"));
      select.addEventListener("change", () => {
        this.wishes[i] = select.value;
        this.show();
      });
      box.append(make("label", {}, `${factor.name} `, select));
    });
  }

  show() {
    const {model} = this;
    if (!model.neighbours) return;
    const {codes, about} = this.query();
    const factors = model.factors.length;
    const found = nearest(model, codes, about, this.wishes, 10);
    this.card.querySelector(".found").replaceChildren(...found.map(
      ({n, distance}) => {
        const canvas = blank(model.image_shape);
        paint(canvas, testPicture(model, n), model.image_shape);
        const of = say(model,
          model.neighbours.codes.subarray(n * factors, (n + 1) * factors));
        const button = make("button",
          {title: of, "aria-label": `${this.label}. ${of}`}, canvas,
          make("span", {className: "share",
            textContent: distance < 0.005
            ? "< 0.01" : distance.toFixed(distance < 100 ? 2 : 0)}));
        button.addEventListener("click", () => this.use(n));
        return button;
      }));
    if (!found.length) {
      this.card.querySelector(".found").textContent = "There is none.";
    }
  }
}
