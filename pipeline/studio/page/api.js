/** The server's addresses: requests with errors of one line, uploads with progress, events of jobs. */

/** What the server, or the way to it, says is wrong: one line that is shown as it is. */
export class StudioError extends Error {
  /** @param {string} message @param {number} status of HTTP; 0 if there was no answer */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const NO_ANSWER = "The studio does not answer; check that it runs, then try again.";
const NO_COOKIE = "This browser is not signed in any more; open the link that the studio printed.";

/** Return what is wrong from an answer that failed. */
function problem(status, body) {
  let text = null;
  try {
    text = JSON.parse(body).error;
  } catch {
    // Not from the studio: a proxy, for example.
  }
  if (status === 401) text ??= NO_COOKIE;
  return new StudioError(text || `The studio answered with error ${status}; try again.`, status);
}

/** Send a request; return the response. @throws {StudioError} */
export async function request(address, options = {}) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new StudioError(NO_ANSWER);
  }
  if (!response.ok) throw problem(response.status, await response.text());
  return response;
}

/** Return the JSON of an answer. */
export const read = async (address, options) => (await request(address, options)).json();

/** Send JSON; return the JSON of the answer. */
export const send = (address, value, options = {}) =>
  read(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
    ...options,
  });

/** Upload a file; `onProgress` gets the share that is sent. Return a promise and a way to cancel. */
export function upload(file, onProgress) {
  const sending = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    sending.open("POST", `/api/uploads?name=${encodeURIComponent(file.name)}`);
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sending.onload = () =>
      sending.status < 300 ? resolve(JSON.parse(sending.responseText)) : reject(problem(sending.status, sending.responseText));
    sending.onerror = () => reject(new StudioError(NO_ANSWER));
    sending.onabort = () => resolve(null);
    sending.send(file);
  });
  return { done, cancel: () => sending.abort() };
}

/** Send a picture; return its style, and a note about it. */
export const addPicture = (file) =>
  read(`/api/pictures?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });

/** Remove the style of a picture. */
export const removePicture = (picture) =>
  request(`/api/pictures/${encodeURIComponent(picture)}`, { method: "DELETE" });

/** Tell the server that a clip is not needed any more; it keeps one that a render uses. */
export const discard = (upload) =>
  fetch(`/api/uploads/${encodeURIComponent(upload)}`, { method: "DELETE" }).catch(() => {});

/** Tell the server that a viewer is gone, also while the page closes. */
export const leave = (viewer) =>
  fetch(`/api/live/${encodeURIComponent(viewer)}`, { method: "DELETE", keepalive: true }).catch(() => {});

/** Where a clip's frame at `seconds` is: stylized with `settings`, or the original one. */
export function frameAddress(upload, seconds, settings = null) {
  const query = new URLSearchParams({ time: seconds.toFixed(3) });
  if (settings) query.set("settings", JSON.stringify(settings));
  return `/api/uploads/${encodeURIComponent(upload)}/${settings ? "preview" : "frame"}.jpg?${query}`;
}

/** The address of a job, or of a part of it. */
export const jobAddress = (job, part = "") => `/api/jobs/${encodeURIComponent(job)}${part}`;
