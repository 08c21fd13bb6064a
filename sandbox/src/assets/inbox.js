// The page is written by the simulator. This asks for it again when something has changed, and puts what is new in its
// place, so that what is being typed, selected or focused is left alone.

const get = (id) => document.getElementById(id);
const inbox = get("inbox");
const search = get("q");
const live = get("live");
const faults = get("faults");

// Words for those who see, and for those who listen.

let hiding;
function say(words, shown = words) {
  get("said").textContent = words;
  const toast = get("toast");
  toast.textContent = shown;
  toast.hidePopover?.();
  toast.showPopover?.();
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    toast.hidePopover?.();
    toast.textContent = "";
  }, 2500);
}

// Times, as people say them.

const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function tellTimes() {
  for (const time of inbox.querySelectorAll("time")) {
    const moment = new Date(time.dateTime);
    const seconds = Math.max(0, (Date.now() - moment) / 1000);
    let words = day.format(moment);
    if (seconds < 60) words = "just now";
    else if (seconds < 3600) words = ago.format(-Math.floor(seconds / 60), "minute");
    else if (moment.toDateString() === new Date().toDateString()) words = clock.format(moment);
    if (time.textContent !== words) time.textContent = words;
    time.title = full.format(moment);
  }
}
setInterval(tellTimes, 20_000);

// Puts the children of a fresh list in place of those shown. What has the same key stays where it is.
function merge(shown, fresh, isNew) {
  const known = new Map([...shown.children].map((child) => [child.dataset.key, child]));
  let at = shown.firstElementChild;
  for (const child of [...fresh.children]) {
    const old = known.get(child.dataset.key);
    known.delete(child.dataset.key);
    if (old) mergeOne(old, child);
    else if (isNew) child.classList.add("fresh");
    const node = old ?? child;
    if (node === at) at = at.nextElementSibling;
    else shown.insertBefore(node, at);
  }
  for (const gone of known.values()) gone.remove();
}

function mergeOne(old, fresh) {
  if (old.matches(".talk")) {
    old.querySelector("[data-count]").textContent = fresh.querySelector("[data-count]").textContent;
    merge(old.querySelector("ol"), fresh.querySelector("ol"), true);
  } else if (!old.matches(".sms") && old.innerHTML !== fresh.innerHTML) {
    old.replaceChildren(...fresh.childNodes);
  }
}

let asking = false;
let again = false;
async function refresh() {
  again = true;
  if (asking) return;
  asking = true;
  try {
    while (again) {
      again = false;
      const response = await fetch(location.href, { cache: "no-store" });
      if (response.ok) show(new DOMParser().parseFromString(await response.text(), "text/html"));
    }
  } catch {
    // The simulator is away. When it is back, the stream opens and asks again.
  } finally {
    asking = false;
  }
}

function show(page) {
  const focused = document.activeElement;
  merge(inbox, page.getElementById("inbox"), true);
  get("figures").replaceChildren(...page.getElementById("figures").childNodes);
  // What somebody is about to change is theirs.
  if (!faults.contains(document.activeElement) && !faults.dataset.changed) {
    faults.replaceChildren(...page.getElementById("faults").childNodes);
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  tellTimes();
}

// What happens.

const newest = Math.max(0, ...[...inbox.querySelectorAll(".sms")].map((sms) => Number(sms.dataset.key)));
const stream = new EventSource(`/inbox/events?since=${newest}`);
stream.addEventListener("open", () => {
  live.className = "live on";
  live.textContent = "Live";
  refresh();
});
stream.addEventListener("error", () => {
  live.className = "live off";
  live.textContent = "Reconnecting…";
});
stream.addEventListener("change", refresh);
stream.addEventListener("message", (event) => {
  const { to, code } = JSON.parse(event.data);
  get("said").textContent = `New message to ${to}${code ? `, code ${[...code].join(" ")}` : ""}`;
  refresh();
});
// A page that leaves says so, or the browser tells of a lost connection first.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

// Search while typing.

let typing;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const asked = search.value.trim();
    history.replaceState(null, "", asked ? `/inbox?q=${encodeURIComponent(asked)}` : "/inbox");
    refresh();
  }, 120);
});
search.form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("keydown", (event) => {
  const typed = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "/" && !typed && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
  }
});

// Copying.

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP from another machine browsers have the old way only.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("not allowed");
}

async function copyFrom(button) {
  const code = button.dataset.copy;
  const hint = button.querySelector(".hint");
  try {
    await copy(code);
    button.classList.add("copied");
    hint.textContent = "Copied";
    say(`Code ${[...code].join(" ")} copied`, `${code} copied`);
    setTimeout(() => {
      button.classList.remove("copied");
      hint.textContent = "Copy";
    }, 2500);
  } catch {
    say("The browser does not let this page copy");
  }
}

// Clearing.

function confirmed(question) {
  const dialog = get("sure");
  get("sure-what").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) =>
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }),
  );
}

async function clear(to) {
  if (!(await confirmed(to ? `Clear the messages to ${to}?` : "Clear all messages?"))) return;
  const response = await fetch(`/inbox.json${to ? `?to=${to}` : ""}`, { method: "DELETE" });
  say(response.ok ? "Cleared" : "It could not be cleared");
  await refresh();
  inbox.focus({ preventScroll: true });
}

// Faults.

const WELL = {
  latency_ms: 50, jitter_ms: 0, error_rate: 0, drop_rate: 0, timeout_rate: 0, response_code: null, retry_after_s: null,
};

async function putFaults(fields) {
  const response = await fetch("/faults", { method: "PUT", body: JSON.stringify(fields) });
  const error = get("faults-error");
  error.textContent = response.ok ? "" : (await response.json()).detail;
  if (!response.ok) return;
  delete faults.dataset.changed;
  faults.replaceChildren(...(await fresh()).getElementById("faults").childNodes);
  say("Faults are set");
}

async function fresh() {
  const response = await fetch(location.href, { cache: "no-store" });
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

faults.addEventListener("input", () => (faults.dataset.changed = "yes"));
faults.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = {};
  for (const field of faults.querySelectorAll("[name]")) {
    const value = field.value === "" ? null : Number(field.value);
    fields[field.name] = "percent" in field.dataset ? value / 100 : value;
  }
  putFaults(fields).catch(() => (get("faults-error").textContent = "The simulator is not there."));
});

addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { copy: code, clear: number, preset } = button.dataset;
  if (code) copyFrom(button);
  else if (number !== undefined) clear(number).catch(() => say("The simulator is not there"));
  else if (preset) putFaults({ ...WELL, ...JSON.parse(preset) }).catch(() => say("The simulator is not there"));
});

tellTimes();
