/** The list of renders: progress, cancel, download; it is the server's, so it survives a reload. */

import { jobAddress, read, request, send } from "./api.js";
import { byId, button, clock, element, icon, notify, size } from "./elements.js";

const STATES = { waiting: "waits for its turn", running: "stylizing", done: "done", failed: "failed", cancelled: "cancelled" };
const RETRY_SECONDS = 5;
const isActive = ({ state }) => state === "waiting" || state === "running";

export class Jobs {
  /** @param {import("./style_panel.js").StylePanel} panel knows the titles of the styles */
  constructor(panel) {
    Object.assign(this, { panel, items: new Map(), events: null, isShown: false });
    document.addEventListener("visibilitychange", () => this.show(this.isShown));
    window.addEventListener("pagehide", () => this.#stopListening());
  }

  /** Follow the renders while they are in sight: a browser allows few connections to one server, for all tabs together. */
  show(isShown) {
    this.isShown = isShown;
    if (!isShown || document.hidden) this.#stopListening();
    else if (this.panel.styles.size) this.refresh();
  }

  /** Ask the server for all renders. */
  async refresh() {
    let jobs;
    try {
      ({ jobs } = await read("/api/jobs"));
    } catch (error) {
      return notify(error.message);
    }
    const names = new Set(jobs.map(({ job }) => job));
    for (const job of this.items.keys()) if (!names.has(job)) this.#remove(job);
    for (const job of jobs) this.#update(job);
  }

  /** Show a render that was started now. */
  add(job) {
    this.#update(job);
  }

  #update(job) {
    if (job.state === "removed") return this.#remove(job.job);
    let item = this.items.get(job.job);
    if (!item) {
      item = new JobItem((job) => this.panel.describe(job), {
        onError: (error) => notify(error.message, { isError: true }),
        onChanged: (changed) => this.#update(changed),
        onRemoved: () => this.#remove(job.job),
      });
      this.items.set(job.job, item);
      byId("jobs").prepend(item.node);
    }
    item.show(job);
    this.#changed();
  }

  #remove(job) {
    this.items.get(job)?.node.remove();
    this.items.delete(job);
    this.#changed();
  }

  #changed() {
    byId("no-jobs").hidden = this.items.size > 0;
    if ([...this.items.values()].some(({ job }) => isActive(job))) this.#listen();
    else this.#stopListening();
  }

  /** Listen to changes while a render is active. */
  #listen() {
    if (this.events || document.hidden || !this.isShown) return;
    this.events = new EventSource("/api/jobs/events");
    this.events.onmessage = (event) => this.#update(JSON.parse(event.data));
    this.events.onopen = () => this.refresh();
    this.events.onerror = () => this.#listenLater();
  }

  /** After an answer that is no stream, such as "too many requests", a browser does not ask again by itself. */
  #listenLater() {
    if (this.events?.readyState !== EventSource.CLOSED) return;
    this.#stopListening();
    this.timer = setTimeout(() => this.show(this.isShown), RETRY_SECONDS * 1000);
  }

  #stopListening() {
    clearTimeout(this.timer);
    this.events?.close();
    this.events = null;
  }
}

class JobItem {
  /** @param {{onError: (error: Error) => void, onChanged: (job: object) => void, onRemoved: () => void}} events */
  constructor(describe, events) {
    Object.assign(this, { job: null, describe, events });
    this.name = element("strong", {});
    this.state = element("span", { className: "state" });
    this.bar = element("progress", { max: 1, value: 0 });
    this.text = element("p", { className: "small" });
    this.notices = element("ul", { className: "small" });
    this.actions = element("div", { className: "actions" });
    this.node = element("li", {}, element("p", { className: "name" }, this.name, this.state), this.actions, this.bar, this.text, this.notices);
  }

  show(job) {
    const changed = job.state !== this.job?.state;
    this.job = { ...this.job, ...job };
    const { name, state, frames_done: done, frames } = this.job;
    this.node.dataset.state = state;
    this.name.textContent = name;
    this.state.textContent = STATES[state] ?? state;
    this.bar.hidden = !isActive(this.job);
    this.bar.setAttribute("aria-label", `Progress of ${name}`);
    if (frames > 0 && done > 0) this.bar.value = Math.min(1, done / frames);
    else if (state === "waiting") this.bar.value = 0;
    this.text.textContent = this.#describe();
    this.notices.replaceChildren(...(this.job.notices ?? []).map((text) => element("li", {}, text)));
    if (changed) this.#showActions();
  }

  #describe() {
    const { state, frames_done: done, frames, fps, seconds_left: left, error, result_bytes: bytes } = this.job;
    if (state === "failed") return error ?? "It failed; try again.";
    if (state === "waiting") return "It starts when the renders before it are finished.";
    if (state === "running" && !done) return "Starting: the network is loaded.";
    const parts = this.job.settings ? [this.describe(this.job)] : [];
    if (done) parts.push(frames > done || state === "running" ? `${done} of ${frames || "?"} frames` : `${done} frames`);
    if (state === "running" && fps) parts.push(`${fps.toFixed(1)} fps`);
    if (state === "running" && left != null) parts.push(`${clock(Math.ceil(left))} left`);
    if (state === "done" && bytes) parts.push(size(bytes));
    return parts.join(" · ");
  }

  #showActions() {
    const { job, name, state } = this.job;
    const made = [];
    if (state === "done") {
      const link = { className: "button main", href: jobAddress(job, "/result"), download: "" };
      made.push(element("a", link, icon("save"), element("span", {}, "Download")));
    }
    if (state === "failed" || state === "cancelled") made.push(button("again", "Try again", () => this.#retry()));
    made.push(button("close", isActive(this.job) ? "Cancel" : "Remove", () => this.#delete()));
    for (const each of made) each.setAttribute("aria-label", `${each.textContent} ${name}`);
    const hadFocus = this.actions.contains(document.activeElement);
    this.actions.replaceChildren(...made);
    if (hadFocus) made[0].focus();
  }

  #retry() {
    return this.#pressed(0, async () => this.events.onChanged(await send(jobAddress(this.job.job, "/retry"), {})));
  }

  #delete() {
    const wasActive = isActive(this.job);
    return this.#pressed(-1, async () => {
      try {
        await request(jobAddress(this.job.job), { method: "DELETE" });
      } catch (error) {
        if (error.status !== 404) throw error;
        return this.events.onRemoved();
      }
      if (!wasActive) this.events.onRemoved();
    });
  }

  /** Do what a button says, which cannot be pressed a second time meanwhile. */
  async #pressed(index, act) {
    const pressed = [...this.actions.children].at(index);
    pressed.disabled = true;
    try {
      await act();
    } catch (error) {
      this.events.onError(error);
    }
    pressed.disabled = false;
  }
}
