import { button, download, input, say } from "./dom.js";
import { labelMap } from "./files.js";
import { parts } from "./mask.js";
import { canvasOf, grey, levels, png } from "./picture.js";
const ON = [255, 0, 255, 130];
const OFF = [128, 128, 128, 100];
export class Result {
    picture;
    page;
    figure = document.createElement("figure");
    found = null;
    parts = { of: new Int32Array(), all: [] };
    off = new Set();
    remove = button("Remove", () => this.page.remove(this));
    constructor(picture, page) {
        this.picture = picture;
        this.page = page;
        this.figure.append(picture.canvas, caption(picture.name), this.remove);
    }
    show(found) {
        this.found = found;
        this.draw();
    }
    get searched() {
        return this.found !== null;
    }
    get summary() {
        if (!this.found)
            return "not searched";
        return `${this.found.found ? "" : "nothing found, "}score ${this.found.score.toFixed(2)}`;
    }
    get level() {
        const whole = this.found && "relative" in this.found.threshold ? this.found.peak : 1;
        return Number(input("threshold").value) * whole * 255;
    }
    partsOf(found, map, width, height) {
        return found.found ? parts(map, this.level, width, height) : { of: new Int32Array(width * height), all: [] };
    }
    on() {
        const off = new Set([...this.off].map((pixel) => this.parts.of[pixel]));
        return new Set(this.parts.all.map((_, i) => i + 1).filter((number) => !off.has(number)));
    }
    draw() {
        if (!this.found)
            return;
        const { width, height, canvas, name } = this.picture;
        this.parts = this.partsOf(this.found, this.found.map, width, height);
        const on = this.on();
        const [shown, context] = canvasOf(width, height);
        context.drawImage(canvas, 0, 0);
        const [layer, over] = canvasOf(width, height);
        const image = over.createImageData(width, height);
        this.parts.of.forEach((number, i) => number && image.data.set(on.has(number) ? ON : OFF, 4 * i));
        over.putImageData(image, 0, 0);
        context.drawImage(layer, 0, 0);
        shown.role = "img";
        shown.setAttribute("aria-label", `${name} with the result painted on it, ${this.summary}, objects: ${on.size}`);
        shown.addEventListener("click", (event) => this.clicked(shown, event));
        const buttons = [
            button("Mask", () => void this.saved("_mask.png", async () => png(await this.fullMask()))),
            button("Label map", () => void this.saved("_labels.png", () => this.labels())),
            button("Use as example, too", () => void this.used()),
        ];
        this.figure.replaceChildren(shown, caption(`${name}, ${this.summary}`), this.switches(on), ...buttons, this.remove);
    }
    switches(on) {
        const list = document.createElement("div");
        list.className = "objects";
        const numbered = this.parts.all.map((part, i) => ({ part, number: i + 1 }));
        numbered.sort((a, b) => b.part.area - a.part.area).forEach(({ part, number }, at) => {
            const label = document.createElement("label");
            const box = document.createElement("input");
            box.type = "checkbox";
            box.checked = on.has(number);
            box.addEventListener("change", () => {
                this.toggle(number);
                this.figure.querySelectorAll(".objects input")[at]?.focus();
            });
            label.append(box, ` object ${at + 1} (${part.area} pixels)`);
            list.append(label);
        });
        return list;
    }
    clicked(shown, event) {
        const { width, height } = this.picture;
        const x = Math.floor((event.offsetX * width) / shown.clientWidth);
        const y = Math.floor((event.offsetY * height) / shown.clientHeight);
        const number = this.parts.of[y * width + x];
        if (number)
            this.toggle(number);
    }
    toggle(number) {
        const held = [...this.off].filter((pixel) => this.parts.of[pixel] === number);
        if (held.length)
            held.forEach((pixel) => this.off.delete(pixel));
        else
            this.off.add(this.parts.all[number - 1]?.top ?? 0);
        this.draw();
    }
    annotated() {
        const { name, width, height, full } = this.picture;
        if (!this.found)
            return { name, ...full, parts: this.parts, on: [] };
        const is = full.width === width && full.height === height;
        const map = is ? this.found.map : levels(grey(this.found.map, width, height), full.width, full.height);
        const all = is ? this.parts : this.partsOf(this.found, map, full.width, full.height);
        const on = this.on();
        const isOn = (top) => {
            const [x, y] = [top % full.width, Math.floor(top / full.width)];
            const shown = this.parts.of[Math.floor(((y + 0.5) * height) / full.height) * width + Math.floor(((x + 0.5) * width) / full.width)];
            return on.has(shown ?? 0);
        };
        return { name, ...full, parts: all, on: all.all.map((_, i) => i + 1).filter((number) => isOn(all.all[number - 1]?.top ?? 0)) };
    }
    async fullMask() {
        const { width, height, parts, on } = this.annotated();
        const wanted = new Set(on);
        return grey(Uint8Array.from(parts.of, (number) => (wanted.has(number) ? 255 : 0)), width, height);
    }
    labels() {
        const { width, height, parts, on } = this.annotated();
        const wanted = new Set(on);
        return labelMap(Uint8Array.from(parts.of, (number) => Number(wanted.has(number))), width, height);
    }
    async saved(ending, make) {
        try {
            download(await make(), this.picture.name.replace(/\.[^.]*$/, "") + ending);
        }
        catch (error) {
            say(error.message, true);
        }
    }
    async used() {
        const { width, height } = this.picture;
        const on = this.on();
        if (!on.size)
            return say("There is no selected object to use as an example.", true);
        const mask = Uint8Array.from(this.parts.of, (number) => (on.has(number) ? 255 : 0));
        this.page.add(this.picture, await png(grey(mask, width, height)));
    }
}
function caption(text) {
    const element = document.createElement("figcaption");
    element.textContent = text;
    return element;
}
