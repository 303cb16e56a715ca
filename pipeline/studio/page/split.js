/** The boundary between original and stylized, moved by mouse, finger and keys. */

const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };

export class Split {
  /**
   * @param {HTMLElement} stage holds both pictures and the handle
   * @param {HTMLElement} handle a slider in the sense of ARIA
   * @param {HTMLButtonElement} toggle shows and hides the boundary
   */
  constructor(stage, handle, toggle) {
    Object.assign(this, { stage, handle, toggle, percent: 50 });
    toggle.addEventListener("click", () => this.show(!this.isShown));
    handle.addEventListener("keydown", (event) => this.#press(event));
    stage.addEventListener("pointerdown", (event) => this.#grasp(event));
    this.move(50);
  }

  get isShown() {
    return this.stage.classList.contains("comparing");
  }

  /** Show or hide the boundary; without it the stage shows the stylized picture alone. */
  show(isShown) {
    this.stage.classList.toggle("comparing", isShown);
    this.handle.hidden = !isShown;
    this.toggle.setAttribute("aria-pressed", String(isShown));
  }

  /** Move the boundary: left of it is the original. @param {number} percent of the width */
  move(percent) {
    this.percent = Math.min(100, Math.max(0, percent));
    this.stage.style.setProperty("--split", `${this.percent}%`);
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.percent)));
    this.handle.setAttribute("aria-valuetext", `${Math.round(this.percent)}% original`);
  }

  #press(event) {
    if (event.key === "Home") this.move(0);
    else if (event.key === "End") this.move(100);
    else if (event.key in STEPS) this.move(this.percent + STEPS[event.key]);
    else return;
    event.preventDefault();
  }

  #grasp(event) {
    if (!this.isShown || event.button || event.target.closest("button, a, label, .card")) return;
    const follow = (moved) => {
      const { left, width } = this.stage.getBoundingClientRect();
      this.move((100 * (moved.clientX - left)) / width);
    };
    const release = () => {
      this.stage.removeEventListener("pointermove", follow);
      this.stage.classList.remove("dragging");
    };
    this.stage.setPointerCapture(event.pointerId);
    this.stage.classList.add("dragging");
    this.stage.addEventListener("pointermove", follow);
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, release, { once: true });
    this.handle.focus({ preventScroll: true });
    follow(event);
  }
}
