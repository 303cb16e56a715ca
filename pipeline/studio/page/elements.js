/** What all modules of the page use: elements, messages, numbers as text. */

/** Return the element with this id. @param {string} id */
export const byId = (id) => document.getElementById(id);

/** Return a new element; `parts` are its children, elements or text. */
export function element(name, attributes = {}, ...parts) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...parts);
  return made;
}

/** Return one of the icons of index.html. */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  const use = document.createElementNS(namespace, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Return a button with an icon. */
export function button(name, text, onClick) {
  return element("button", { type: "button", onclick: onClick }, icon(name), element("span", {}, text));
}

const NOTICE_SECONDS = 8;

/** Show one line above the page for some seconds; the same line is not shown twice. An error stays until it is closed. */
export function notify(text, { isError = false } = {}) {
  const shown = byId("notices");
  if ([...shown.children].some((other) => other.dataset.text === text)) return;
  const notice = element("div", { className: isError ? "notice error" : "notice" }, element("p", {}, text));
  notice.dataset.text = text;
  const close = element("button", { type: "button", title: "Close", onclick: () => notice.remove() }, icon("close"));
  close.setAttribute("aria-label", "Close the message");
  notice.append(close);
  shown.append(notice);
  while (shown.children.length > 3) shown.firstElementChild.remove();
  if (!isError) setTimeout(() => notice.remove(), NOTICE_SECONDS * 1000);
}

/** Return seconds as 1:02:03 or 2:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Return a number of bytes as text with three digits. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (bytes >= 999.5 && step < units.length - 1) [bytes, step] = [bytes / 1000, step + 1];
  return `${step ? Number(bytes.toPrecision(3)) : bytes} ${units[step]}`;
}

/** Return what is stored in this browser under `key`, or null; storage may be forbidden. */
export function recall(key, storage = "localStorage") {
  try {
    return JSON.parse(window[storage].getItem(key));
  } catch {
    return null;
  }
}

/** Store a value in this browser; null deletes it. */
export function remember(key, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, JSON.stringify(value));
  } catch {
    // Private windows may forbid storage; the page works without.
  }
}

/** Call `onFile` with a file that is dropped on `target`, which shows that it may be. */
export function acceptDrops(target, onFile) {
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0;
  const show = (change) => {
    depth = change ? depth + change : 0;
    target.classList.toggle("dropping", depth > 0);
  };
  target.addEventListener("dragenter", (event) => holdsFiles(event) && show(1));
  target.addEventListener("dragleave", (event) => holdsFiles(event) && show(-1));
  target.addEventListener("drop", (event) => {
    show(0);
    const [file] = event.dataTransfer.files;
    if (file) onFile(file);
  });
}
