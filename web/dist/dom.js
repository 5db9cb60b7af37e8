export function at(id) {
    const element = document.getElementById(id);
    if (!element)
        throw new Error(`the page has no #${id}`);
    return element;
}
export const input = (id) => at(id);
export function say(text, bad = false) {
    at("status").textContent = text;
    at("status").classList.toggle("bad", bad);
}
export function button(text, act) {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = text;
    element.addEventListener("click", act);
    return element;
}
export function download(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
export function takeFiles(chosen, target, take) {
    chosen.addEventListener("change", () => {
        take([...(chosen.files ?? [])]);
        chosen.value = "";
    });
    const over = (on) => (event) => {
        event.preventDefault();
        target.classList.toggle("over", on);
    };
    target.addEventListener("dragover", over(true));
    target.addEventListener("dragleave", over(false));
    target.addEventListener("drop", (event) => {
        over(false)(event);
        take([...(event.dataTransfer?.files ?? [])]);
    });
}
