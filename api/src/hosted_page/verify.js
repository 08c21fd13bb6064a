// The hosted page. Its token came behind the # of the address; it goes nowhere but into the Authorization of our calls.

const get = (id) => document.getElementById(id);
const catalogue = JSON.parse(get("words").textContent);
const TOKEN = "hulak-page";
const CHOSEN = "hulak-locale";
const AHEAD = "hulak-ahead";

let locale = document.documentElement.lang;
let token = null;
let page = null;
// The verification under way: { id, token, length, view }.
let begun = null;

// Words

function word(name, values = {}) {
  const text = catalogue[locale][name] ?? catalogue.en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (place, value) => values[value] ?? place);
}

// By hand: not every browser knows how Nepali writes numbers.
const number = (n) =>
  locale === "ne" ? String(n).replace(/\d/g, (digit) => String.fromCharCode(0x0966 + Number(digit))) : String(n);

function wait(seconds) {
  if (seconds < 90) return word("wait.seconds", { n: number(Math.max(1, Math.ceil(seconds))) });
  if (seconds < 90 * 60) return word("wait.minutes", { n: number(Math.ceil(seconds / 60)) });
  return word("wait.hours", { n: number(Math.ceil(seconds / 3600)) });
}

// What was said last can be said again in another language.
const spoken = new Map();
function tell(id, words) {
  spoken.set(id, words);
  get(id).textContent = words ? words() : "";
}

function speak(next) {
  locale = next;
  document.documentElement.lang = locale;
  document.title = word("title");
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
  }
  for (const button of document.querySelectorAll("[data-locale]")) {
    button.setAttribute("aria-pressed", String(button.dataset.locale === locale));
  }
  for (const [id, words] of spoken) get(id).textContent = words ? words() : "";
  if (page) get("heading").textContent = word(`heading.${page.purpose}`);
  showAgain();
}

// Devanagari digits are digits, too, and pasted text brings characters that show nothing; but digits that are shown backwards
// are not the ones that the person saw.
const ascii = (text) =>
  text
    .replace(/(?!\u202E)[\p{Default_Ignorable_Code_Point}\uFFFC]/gu, "")
    .replace(/[०-९]/g, (digit) => String.fromCharCode(digit.charCodeAt(0) - 0x0966 + 48));

// Calls

class Failure extends Error {
  constructor(slug, problem = {}, seconds = 5) {
    super(slug);
    this.slug = slug;
    this.problem = problem;
    this.seconds = seconds;
  }
}

async function call(method, path, { bearer = token, body, once, signal, headers = {} } = {}) {
  const sent = { ...headers };
  if (bearer) sent.Authorization = `Bearer ${bearer}`;
  if (body) sent["Content-Type"] = "application/json";
  if (once) sent["Idempotency-Key"] = once;
  let response;
  const asked = Date.now();
  try {
    response = await fetch(path, { method, headers: sent, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(navigator.onLine ? "failure.unreachable" : "failure.offline");
  }
  dated(Date.parse(response.headers.get("date")), asked);
  if (response.ok || response.status === 304) return response;
  const problem = await response.json().catch(() => ({}));
  const slug = String(problem.type ?? "").split("/").pop();
  throw new Failure(`problem.${slug}`, problem, Number(response.headers.get("retry-after")) || 5);
}

function explain(failure) {
  return () => {
    const known = failure instanceof Failure && failure.slug in catalogue.en;
    return word(known ? failure.slug : "failure.other", {
      wait: wait(failure.seconds ?? 5),
      left: number(failure.problem?.checks_remaining ?? 0),
      length: number(begun?.length ?? 6),
    });
  };
}

// The server's clock decides about waits. What it writes was written before it is read here: so much, at least, its clock
// is ahead of ours. What is known to the millisecond says more than a Date, which is cut to its second and alone would make
// a wait a second too long; so it is kept for a page that is loaded again.
let ahead = sessionStorage.getItem(AHEAD) === null ? null : Number(sessionStorage.getItem(AHEAD));
const now = () => Date.now() + (ahead ?? 0);

function written(time) {
  if (!time) return;
  ahead = Math.max(ahead ?? -Infinity, time - Date.now());
  sessionStorage.setItem(AHEAD, ahead);
}

function dated(date, asked) {
  // That much it is ahead at most; when it seems to be more, a clock was set in between, and all begins anew.
  if (date && ahead !== null && ahead > date + 1000 - asked) ahead = null;
  written(date);
}

const fresh = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

// One attempt keeps its key, so that trying it again after a lost answer does nothing twice.
const keys = new Map();
function keyOf(attempt) {
  if (!keys.has(attempt)) keys.set(attempt, fresh());
  return keys.get(attempt);
}
const settled = (failure) => !(failure instanceof Failure) || !failure.slug.startsWith("failure.");

async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

// Steps

function step(name, focus) {
  for (const section of document.querySelectorAll(".step")) section.hidden = section.id !== `step-${name}`;
  get("step-busy").removeAttribute("aria-busy");
  focus?.focus();
}

// `onward` is what a button offers: another page, or another try with this one.
function over(words, onward) {
  stopFollowing();
  step("over");
  tell("over-words", words);
  get("restart").hidden = !onward;
  get("restart").onclick = onward;
  get("step-over").querySelector("h1").focus();
}

const LOST = ["problem.page-expired", "problem.page-used-up", "problem.unauthorized", "problem.misdirected"];

function fail(field, failure) {
  if (failure instanceof Failure && LOST.includes(failure.slug)) {
    if (failure.slug !== "problem.page-used-up") sessionStorage.removeItem(TOKEN);
    over(explain(failure), page?.demonstration ? restart : null);
    return;
  }
  tell(`${field}-error`, explain(failure));
  get(field).setAttribute("aria-invalid", "true");
  get(field).focus();
}

function clean(field) {
  tell(`${field}-error`, null);
  get(field).removeAttribute("aria-invalid");
}

// The number

get("phone").addEventListener("input", () => clean("phone"));
get("phone-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const phone = ascii(get("phone").value).trim();
  if (!phone) {
    tell("phone-error", () => word("phone.missing"));
    get("phone").focus();
    return;
  }
  busy(event.target.querySelector("button"), async () => {
    clean("phone");
    const attempt = `begin ${phone} ${locale}`;
    try {
      const body = { phone, locale };
      const response = await call("POST", "/v1/page/verifications", { body, once: keyOf(attempt) });
      keys.delete(attempt);
      begin(await response.json());
    } catch (failure) {
      if (settled(failure)) keys.delete(attempt);
      fail("phone", failure);
    }
  });
});

function begin({ verification, client_token, code_length }) {
  begun = { id: verification.id, token: client_token, length: code_length, view: null };
  clean("code");
  get("code").value = "";
  tell("sent-to", () => word("code.sent_to", { phone: verification.phone }));
  tell("code-hint", () => word("code.hint", { length: number(code_length) }));
  step("code", get("code"));
  show(verification);
  follow();
  offerCode();
}

// How it fares

const BUSY = ["queued", "sending"];

function show(view) {
  if (!begun || (begun.view && view.version < begun.view.version)) return;
  begun.view = view;
  written(Date.parse(view.updated_at));
  const { status, error } = view.delivery;
  const state = get("delivery");
  let name = `delivery.${status}`;
  if (BUSY.includes(status) && error) name = "delivery.resending";
  if (status === "failed" && error?.code === "invalid-receiver") name = "delivery.unreachable";
  const good = status === "sent" ? "good" : "bad";
  state.className = `state ${BUSY.includes(status) ? "busy" : good}`;
  if (!(name in catalogue.en)) name = "delivery.unknown";
  if (get("delivery").textContent !== word(name)) tell("delivery", () => word(name));
  showAgain();
  if (view.status === "expired") ended("problem.verification-expired");
  if (view.status === "canceled") ended("problem.verification-canceled");
  if (view.status === "failed") ended("problem.too-many-checks");
}

// Its code is no longer good: back to the number, with a word about why.
function ended(slug) {
  if (!begun) return;
  const seconds = Math.max(1, (Date.parse(begun.view.resend_after) - now()) / 1000);
  leave();
  step("phone");
  fail("phone", new Failure(slug, {}, seconds));
}

function leave() {
  stopFollowing();
  begun = null;
}

let following = null;
function stopFollowing() {
  following?.abort();
  following = null;
}

async function follow() {
  stopFollowing();
  const stop = (following = new AbortController());
  const { id, token: bearer } = begun;
  for (let pause = 1000; !stop.signal.aborted; pause = Math.min(pause * 2, 15_000)) {
    try {
      await stream(`/v1/verifications/${id}/events`, bearer, stop.signal);
      if (begun?.view?.status !== "pending") return;
      pause = 500;
    } catch (failure) {
      if (stop.signal.aborted || (failure.problem?.status && failure.problem.status < 500)) return;
      // Where something on the way swallows streams, waiting for an answer may still work.
      await poll(`/v1/verifications/${id}?wait=20`, bearer, stop.signal).catch(() => {});
    }
    await sleep(pause, stop.signal);
  }
}

const sleep = (ms, signal) =>
  new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => done(clearTimeout(timer)), { once: true });
  });

// Server-sent events, read by hand: an EventSource cannot send the token as a header.
async function stream(path, bearer, signal) {
  const response = await call("GET", path, { bearer, signal, headers: { Accept: "text/event-stream" } });
  if (response.status === 204) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length) show(JSON.parse(data.map((line) => line.slice(5).trimStart()).join("\n")));
    }
  }
}

async function poll(path, bearer, signal) {
  const version = begun?.view?.version ?? 0;
  const response = await call("GET", path, { bearer, signal, headers: { "If-None-Match": `"${version}"` } });
  if (response.status !== 304) show(await response.json());
}

// Sending it again

let counting = null;
function showAgain() {
  clearTimeout(counting);
  const again = get("again");
  if (!begun?.view) return;
  const left = Date.parse(begun.view.resend_after) - now();
  again.disabled = left > 0;
  const words = left > 0 ? word("code.again_in", { wait: wait(left / 1000) }) : word("code.again");
  if (again.textContent !== words) again.textContent = words;
  // When the number that is shown is no longer true.
  if (left > 0) counting = setTimeout(showAgain, (left % 1000) + 1);
}

get("again").addEventListener("click", (event) =>
  busy(event.currentTarget, async () => {
    clean("code");
    const attempt = `again ${begun.id} ${begun.view.resend_after}`;
    try {
      const path = `/v1/verifications/${begun.id}/resend`;
      const response = await call("POST", path, { bearer: begun.token, body: {}, once: keyOf(attempt) });
      show(await response.json());
      tell("said", () => word("code.again_done"));
      get("code").focus();
      offerCode();
    } catch (failure) {
      if (settled(failure)) keys.delete(attempt);
      fail("code", failure);
    }
  }),
);

get("other").addEventListener("click", () => {
  const { id, token: bearer } = begun;
  leave();
  // What was not sent need not be sent any more.
  call("DELETE", `/v1/verifications/${id}`, { bearer }).catch(() => {});
  clean("phone");
  step("phone", get("phone"));
  get("phone").select();
});

// The code

get("code").addEventListener("input", (event) => {
  clean("code");
  const field = event.target;
  const text = ascii(field.value);
  // The whole message may be pasted: its code is the digits that stand alone.
  const alone = text.split(/[^0-9A-Za-z]+/).find((part) => /^\d+$/.test(part) && part.length === begun.length);
  const digits = /^[\d\s-]*$/.test(text) ? text.replace(/\D/g, "") : (alone ?? text.replace(/\D/g, ""));
  if (field.value !== digits.slice(0, 10)) field.value = digits.slice(0, 10);
  if (event.inputType === "insertFromPaste" && digits.length === begun.length) get("code-form").requestSubmit();
});

get("code-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = ascii(get("code").value).trim();
  if (!begun) return;
  if (code.length !== begun.length) {
    tell("code-error", () => word("code.missing", { length: number(begun.length) }));
    get("code").setAttribute("aria-invalid", "true");
    get("code").focus();
    return;
  }
  busy(event.target.querySelector("button"), () => check(code));
});

const GONE = ["problem.verification-expired", "problem.verification-canceled", "problem.too-many-checks"];

async function check(code) {
  clean("code");
  const attempt = `check ${begun.id} ${code}`;
  try {
    const body = { verification: begun.id, code };
    const response = await call("POST", "/v1/page/check", { body, once: keyOf(attempt) });
    finish(await response.json());
  } catch (failure) {
    if (settled(failure)) keys.delete(attempt);
    if (GONE.includes(failure.slug)) {
      leave();
      step("phone");
      fail("phone", failure);
      return;
    }
    fail("code", failure);
    get("code").select();
  }
}

function finish({ redirect }) {
  leave();
  sessionStorage.removeItem(TOKEN);
  const onward = get("continue");
  onward.hidden = !redirect;
  get("once-more").hidden = Boolean(redirect);
  tell("done-words", () => word(redirect ? "done.back" : "done.demonstration"));
  step("done", get("step-done").querySelector("h1"));
  if (!redirect) return;
  onward.href = redirect;
  location.replace(redirect);
}

// A browser that can read the message offers its code (WebOTP).
let reading = null;
function offerCode() {
  if (!("OTPCredential" in window)) return;
  reading?.abort();
  reading = new AbortController();
  const asked = begun.id;
  navigator.credentials
    .get({ otp: { transport: ["sms"] }, signal: reading.signal })
    .then((credential) => {
      if (!credential || begun?.id !== asked) return;
      get("code").value = ascii(credential.code);
      get("code-form").requestSubmit();
    })
    .catch(() => {});
}

// The start

for (const button of document.querySelectorAll("[data-locale]")) {
  button.addEventListener("click", () => {
    sessionStorage.setItem(CHOSEN, button.dataset.locale);
    speak(button.dataset.locale);
  });
}

function restart() {
  sessionStorage.removeItem(TOKEN);
  location.replace(location.pathname);
}
get("once-more").addEventListener("click", restart);

async function demonstrate() {
  const response = await call("POST", "/v1/page/demonstration", { bearer: null, body: {} });
  return (await response.json()).token;
}

// Where a simulator listens on every address, it has none to name: it is where this page came from.
function offerInbox(address) {
  const link = get("inbox");
  link.hidden = !address;
  if (!address) return;
  link.href = address;
  if (["0.0.0.0", "[::]"].includes(link.hostname)) link.hostname = location.hostname;
}

async function open() {
  const given = location.hash.slice(1);
  // Out of the address bar, where others look.
  if (given) history.replaceState(null, "", location.pathname);
  token = given || sessionStorage.getItem(TOKEN);
  if (!token) {
    token = await demonstrate().catch((failure) => {
      if (failure.slug === "problem.not-found") throw new Failure("over.incomplete");
      throw failure;
    });
  }
  page = await (await call("GET", "/v1/page")).json();
  // Kept for a page that is loaded again, in this window only.
  sessionStorage.setItem(TOKEN, token);
  get("app").textContent = page.app_name;
  get("demonstration").hidden = !page.demonstration;
  offerInbox(page.inbox);
  speak(sessionStorage.getItem(CHOSEN) ?? page.locale ?? locale);
  if (page.begun) begin(page.begun);
  else step("phone", get("phone"));
}

async function start() {
  speak(sessionStorage.getItem(CHOSEN) ?? locale);
  const kept = location.hash ? null : sessionStorage.getItem(TOKEN);
  try {
    await open();
  } catch (failure) {
    if (kept && ["problem.page-expired", "problem.unauthorized"].includes(failure.slug)) {
      // Left over from before: where there are demonstrations, another one begins.
      sessionStorage.removeItem(TOKEN);
      try {
        token = await demonstrate();
        sessionStorage.setItem(TOKEN, token);
        return await open();
      } catch {
        // There are none: what went wrong first is what counts.
      }
    }
    const final = LOST.includes(failure.slug) || failure.slug === "over.incomplete";
    if (!final && token) sessionStorage.setItem(TOKEN, token);
    over(explain(failure), final ? null : () => location.reload());
  }
}

addEventListener("hashchange", () => location.reload());
start();
