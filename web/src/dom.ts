// The page's elements, and what it says.

/** The element of that id; the page is wrong without it. */
export function at<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

export const input = (id: string) => at<HTMLInputElement>(id);

/** Tells users what happens, or what went wrong. */
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

/** Gives a file to the user. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Takes files that are chosen in the field `chosen`, and those that are dropped on `target`. */
export function takeFiles(chosen: HTMLInputElement, target: HTMLElement, take: (files: File[]) => void): void {
  chosen.addEventListener("change", () => {
    take([...(chosen.files ?? [])]);
    // The same file may be chosen once more.
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
