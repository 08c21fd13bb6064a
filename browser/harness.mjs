// What the browser tests share.
//
// To add a spec for another page:
//
// 1. Write `browser/NAME.spec.mjs`. Import `scene` from here; each `scene` is a test with a page of its own:
//
//        scene("what it shows", { size: "phone", scheme: "dark" }, async ({ page }) => {
//          await page.goto(`${admin}/console`);
//          await accessible(page);                         // axe, in both themes
//          await shot(page, "console");                    // docs/images/console.png, when asked for
//        });
//
// 2. Add a test to `hulak/tests/browser.rs` that starts a `hulak` with the settings it needs, and calls
//    `spec("NAME", &hulak, …)`. `cargo test -p hulak --test browser` then runs it; `HULAK_UPDATE_SCREENSHOTS=1` writes
//    the pictures, too.
//
// A scene fails when the page says anything on its console, breaks its Content-Security-Policy, loads anything from
// elsewhere, or has a violation that axe finds. Wait for what is to be seen (`page.getByText(…).waitFor()`, `until`),
// never for a time to pass. Chromium is the system's; nothing is downloaded but the two packages of package.json.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";

const given = (name) => process.env[name] ?? assert.fail(`${name} is not set: run this by cargo test`);

/** Where the parts of `hulak` are, and the key of its client `default`. */
export const api = given("HULAK_TEST_API");
export const inbox = given("HULAK_TEST_INBOX");
export const admin = given("HULAK_TEST_ADMIN");
export const key = given("HULAK_TEST_KEY");

const require = createRequire(join(given("HULAK_TEST_MODULES"), "node_modules/"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** How long anything may take to be seen: machines that run tests are busy. */
const PATIENCE = 30_000;
const SIZES = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 760 },
};

const browser = await chromium.launch({
  executablePath: given("HULAK_TEST_CHROMIUM"),
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"],
});
after(() => browser.close());

/**
 * A test with a page of its own. Options: `size` (desktop, phone), `scheme` (light, dark), `language`, `grants` (what the
 * page may do without asking), `silent: false` for a scene that provokes errors which browsers write on the console.
 */
export function scene(name, options, play) {
  test(name, { timeout: 4 * PATIENCE }, async () => {
    const { size = "desktop", scheme = "light", language = "en", grants = [], silent = true } = options;
    const context = await browser.newContext({
      viewport: SIZES[size],
      deviceScaleFactor: size === "phone" ? 2 : 1,
      colorScheme: scheme,
      locale: language,
      reducedMotion: "reduce",
      permissions: grants,
    });
    context.setDefaultTimeout(PATIENCE);
    const wrong = [];
    context.on("page", (page) => watch(page, wrong, silent));
    const page = await context.newPage();
    try {
      await play({ page, context });
      assert.deepEqual(wrong, []);
    } catch (error) {
      const text = await page.locator("body").innerText({ timeout: 1_000 }).catch(() => "(no page)");
      console.error(`${name}: at ${page.url()}\n${wrong.join("\n")}\n--- what it showed ---\n${text}\n---`);
      throw error;
    } finally {
      await context.close();
    }
  });
}

function watch(page, wrong, silent) {
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const words = message.text();
    const policy = words.includes("Content Security Policy");
    if (policy || (silent && ["error", "warning"].includes(message.type()))) wrong.push(`console: ${words}`);
  });
  page.on("request", (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (!["127.0.0.1", "localhost"].includes(hostname) && protocol !== "data:") wrong.push(`asked ${request.url()}`);
  });
}

/** Asks until the answer is not `undefined`, `null` or `false`, and gives it. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (Date.now() > end) assert.fail(`waited in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Fails when axe finds anything, in either theme. */
export async function accessible(page, what = page.url()) {
  const scheme = await page.evaluate(() => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    // Colours on their way from one theme to the other are none that anybody reads.
    await page.evaluate(async () => {
      await new Promise((frame) => requestAnimationFrame(() => requestAnimationFrame(frame)));
      await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
    });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" | ")}`);
    assert.deepEqual(told, [], `${what}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: scheme });
}

/** Nothing is wider than the window. */
export async function fits(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} pixels of ${window}`);
}

/** Keeps a picture of the window in `docs/images`, or of the whole page, when pictures are asked for. */
export async function shot(page, name, { fullPage = false } = {}) {
  const directory = process.env.HULAK_TEST_SHOTS;
  if (!directory) return;
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(directory, `${name}.png`), caret: "hide", animations: "disabled", fullPage });
}

export async function messages(to) {
  const response = await fetch(`${inbox}.json?to=${to}`);
  return response.json();
}

/** The code of the newest message to a number, once there are `count` of them. */
export async function codeTo(to, count = 1) {
  const all = await until(`message ${count} to ${to}`, async () => {
    const all = await messages(to);
    return all.length >= count && all;
  });
  return all[0].code;
}

/** A code that is not this one. */
export const wrongCode = (code) => (code[0] === "0" ? "1" : "0") + code.slice(1);

/** Sends an SMS as a worker would. */
export async function send(to, text, from = "Hulak") {
  const body = new URLSearchParams({ token: "any", from, to, text });
  const response = await fetch(`${new URL(inbox).origin}/v2/sms/`, { method: "POST", body });
  assert.equal(response.status, 200);
}

/** Asks the API with the key: the answer's status and body. */
export async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const response = await fetch(`${api}${path}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

/** Presses Tab until something with this name has the focus: all of a page is to be reached so. */
export async function tabTo(page, name) {
  for (let n = 0; n < 40; n += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const { labels, textContent, ariaLabel } = document.activeElement;
      return ariaLabel ?? labels?.[0]?.textContent ?? textContent;
    });
    if (focused.trim().startsWith(name)) return;
  }
  assert.fail(`${name} cannot be reached with the keyboard`);
}

export { assert };
