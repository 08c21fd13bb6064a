// The page: asks its own backend for a code, follows the message and checks the code at Hulak with the client token,
// and gives the approval token to the backend, which alone believes it.

const $ = (id) => document.getElementById(id);

/** What went wrong, in words for the person in front of the page. Each slug of Hulak has some. */
const WORDS = {
  "malformed-json": "This page sent something broken. Please reload it.",
  "bad-request": "This page sent something broken. Please reload it.",
  "unauthorized": "This page was open for too long. Please begin again.",
  "forbidden": "This page may not do that. Please reload it.",
  "phone-blocked": "This number is blocked. Please contact our support.",
  "not-found": "This code is not known any more. Please begin again.",
  "method-not-allowed": "This page sent something broken. Please reload it.",
  "request-timeout": "The connection is too slow. Please try again.",
  "already-approved": "This code was used already. Please begin again.",
  "verification-canceled": "This was taken back. Please begin again.",
  "username-taken": "Somebody has this name. Please choose another one.",
  "already-verified": "This number is verified already. There is nothing left to do.",
  "phone-taken": "Another account has this number. Please sign in to that one.",
  "request-in-progress": "Your last request is still at work. Please wait a second.",
  "verification-expired": "This code is too old. Please ask for a new one.",
  "approval-expired": "This took too long. Please begin again.",
  "page-expired": "This page is too old. Go back and begin again.",
  "page-used-up": "This page has sent all the codes it may. Go back and begin again.",
  "body-too-large": "That is too much. Please shorten what you typed.",
  "unsupported-media-type": "This page sent something broken. Please reload it.",
  "misdirected": "Something is wrong with this page. Tell whoever runs it.",
  "invalid-request": "Something you typed cannot be used. Please look at it again.",
  "invalid-phone": "This is not a mobile number of Nepal. It has ten digits and begins with 98, 97 or 96.",
  "unsupported-phone": "We cannot send messages to this number. Please use another one.",
  "idempotency-key-reused": "This page got confused. Please reload it.",
  "incorrect-code": "This is not the code. Please look at the newest message.",
  "malformed-code": "A code has digits only, as many as in the message.",
  "invalid-page-code": "Something is wrong with this page. Tell whoever runs it.",
  "rate-limited": "There were too many messages. Please wait.",
  "resend-cooldown": "A message is on its way. Please wait before you ask for another one.",
  "too-many-checks": "There were too many wrong codes. Please wait, then begin again.",
  "internal": "Something broke on our side. Please try again later.",
  "unavailable": "We cannot be reached right now. Please try again.",
  "overloaded": "Too many people are here right now. Please try again in a moment.",
  // What the page's own backend says, and what happens on the way.
  "token-refused": "Your number could not be confirmed. Please begin again.",
  "offline": "There is no connection. Please look at your network.",
};

/** An answer that is none, from Hulak or from the backend. */
class Problem extends Error {
  constructor(slug, body = {}, retryAfter = 0) {
    super(slug);
    this.slug = slug;
    this.body = body;
    this.retryAfter = retryAfter;
  }

  static async of(response) {
    const body = await response.json().catch(() => ({}));
    const slug = String(body.type ?? "internal").split("/").pop();
    return new Problem(slug, body, Number(response.headers.get("retry-after")) || 0);
  }

  get words() {
    let words = WORDS[this.slug] ?? WORDS.internal;
    const left = this.body.checks_remaining;
    if (Number.isInteger(left)) words += left === 1 ? " One try is left." : ` ${left} tries are left.`;
    if (this.retryAfter > 0) words += ` (${duration(this.retryAfter)})`;
    return words;
  }
}

const duration = (seconds) => (seconds < 120 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`);

async function post(url, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => {
    throw new Problem("offline");
  });
  if (!response.ok) throw await Problem.of(response);
  return response.json();
}

/** The digits of a code as the API takes them: Devanagari ones become ASCII, and spaces go. */
function asciiDigits(text) {
  return text.replace(/[०-९]/g, (digit) => String(digit.charCodeAt(0) - 0x966)).replace(/\D/g, "");
}

/** A verification as it is and at every change, until it ends. */
async function* events(url, token, signal) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/events`, { headers, signal });
  if (!response.ok) throw await Problem.of(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data:"));
      if (data) yield JSON.parse(data.slice("data:".length));
    }
  }
}

/** The code of the message that is about to come, where the browser can read it; else null. */
async function readMessage(signal) {
  if (!("OTPCredential" in window)) return null;
  try {
    const message = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal });
    return message?.code ?? null;
  } catch {
    return null; // The person said no, or typed faster.
  }
}

/** What is going on: the verification, its address and token, and what stops following it. */
let current = null;

/** What the newest message is up to, for a person. */
const NEWS = {
  queued: "The message waits for its turn …",
  sending: "The message is being sent …",
  sent: "The message was sent. It may take a moment to arrive.",
  failed: "The message could not be sent. Is the number right?",
  expired: "The message was not sent in time. Please ask for another one.",
  canceled: "The message was taken back.",
  unknown: "Nobody knows whether the message was sent. Please ask for another one if it does not come.",
};

const ENDED = { expired: "verification-expired", failed: "too-many-checks", canceled: "verification-canceled" };

function show(verification) {
  if (current?.view && verification.version < current.view.version) return;
  current.view = verification;
  $("news").textContent = verification.status === "pending" ? NEWS[verification.delivery.status] : "";
  tick();
}

/** The countdown to the next message. The page's clock may be wrong, so it counts from what the backend saw. */
function tick() {
  if (!current) return;
  clearTimeout(current.timer);
  const wait = Math.ceil((Date.parse(current.view.resend_after) - current.offset - Date.now()) / 1000);
  const pending = current.view.status === "pending";
  $("resend").disabled = !pending || wait > 0;
  $("resend").textContent = pending && wait > 0 ? `Send another message (${wait})` : "Send another message";
  if (pending && wait > 0) current.timer = setTimeout(tick, 1000);
}

/** Follows the verification; a stream that broke is opened again. */
async function follow(begun) {
  const { signal } = begun.stop;
  while (!signal.aborted) {
    try {
      for await (const verification of events(begun.url, begun.token, signal)) {
        if (begun !== current) return;
        show(verification);
        if (verification.status in ENDED) return over(new Problem(ENDED[verification.status]));
        if (verification.status !== "pending") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.retryAfter === 0) return tell(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

/** Types the code itself, where the browser hands over the message. */
async function listen(begun) {
  const code = await readMessage(begun.stop.signal);
  if (!code || begun !== current) return;
  $("code").value = code;
  check();
}

/** Tells of a problem; what a person can set right stays in front of them. */
function tell(error) {
  const problem = error instanceof Problem ? error : new Problem("internal");
  if (!(error instanceof Problem)) console.error(error);
  $("problem").textContent = problem.words;
}

/** Nothing more can come of this verification. */
function over(problem) {
  leave();
  tell(problem);
}

function leave() {
  current?.stop.abort();
  clearTimeout(current?.timer);
  current = null;
  $("code-form").hidden = true;
  $("number-form").hidden = false;
  $("code").value = "";
  $("news").textContent = "";
  $("phone").focus();
}

async function begin(event) {
  event.preventDefault();
  await busy($("number-form"), async () => {
    const { api, now, verification, client_token: token } = await post("verifications", { phone: $("phone").value });
    current?.stop.abort();
    const url = `${api}/v1/verifications/${verification.id}`;
    const offset = Date.parse(now) - Date.now();
    const begun = { url, token, offset, view: verification, stop: new AbortController(), timer: 0 };
    current = begun;
    $("to").textContent = verification.phone;
    $("number-form").hidden = true;
    $("code-form").hidden = false;
    $("code").focus();
    show(verification);
    follow(begun);
    listen(begun);
  });
}

async function check(event) {
  event?.preventDefault();
  const begun = current;
  if (!begun) return;
  await busy($("code-form"), async () => {
    try {
      // A code is good once: when the backend could not be reached, the next try goes on from here.
      begun.proof ??= (await post(`${begun.url}/check`, { code: asciiDigits($("code").value) }, begun.token)).token;
      const { phone } = await post("session", { token: begun.proof });
      begun.stop.abort();
      clearTimeout(begun.timer);
      current = null;
      $("code-form").hidden = true;
      $("news").textContent = "";
      $("verified").textContent = phone;
      $("done").hidden = false;
      $("done").focus();
    } catch (error) {
      const last = error instanceof Problem && !["incorrect-code", "malformed-code", "offline"].includes(error.slug);
      if (last && error.retryAfter === 0) return over(error);
      $("code").select();
      throw error;
    }
  });
}

async function resend() {
  const begun = current;
  if (!begun) return;
  await busy($("code-form"), async () => show(await post(`${begun.url}/resend`, {}, begun.token)));
}

/** Does one thing at a time in a form, and tells what goes wrong. */
async function busy(form, work) {
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  form.setAttribute("aria-busy", "true");
  $("problem").textContent = "";
  try {
    await work();
  } catch (error) {
    tell(error);
  } finally {
    delete form.dataset.busy;
    form.removeAttribute("aria-busy");
  }
}

$("number-form").addEventListener("submit", begin);
$("code-form").addEventListener("submit", check);
$("resend").addEventListener("click", resend);
$("other").addEventListener("click", leave);
