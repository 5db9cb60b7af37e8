// The page's elements and messages.

/** The element with this id, which must exist. */
export function at<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

export const input = (id: string) => at<HTMLInputElement>(id);

/** Shows a message or an error. */
export function say(text: string, bad = false): void {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

export function button(text: string, act: () => void): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", act);
  return element;
}

/** Downloads a file. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Takes files chosen in the field `chosen` or dropped on `target`. */
export function takeFiles(chosen: HTMLInputElement, target: HTMLElement, take: (files: File[]) => void): void {
  chosen.addEventListener("change", () => {
    take([...(chosen.files ?? [])]);
    // Allow choosing the same file again.
    chosen.value = "";
  });
  const over = (on: boolean) => (event: DragEvent) => {
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
