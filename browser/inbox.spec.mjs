// The SMS inbox of the simulator.

import { accessible, api, assert, codeTo, fits, inbox, messages, scene, send, shot, tabTo, until } from "./harness.mjs";

const simulator = new URL(inbox).origin;

async function faults(fields) {
  const response = await fetch(`${simulator}/faults`, { method: "PUT", body: JSON.stringify(fields) });
  assert.equal(response.status, 200);
}

async function empty() {
  await fetch(`${inbox}.json`, { method: "DELETE" });
  await faults({ latency_ms: 0, jitter_ms: 0, error_rate: 0, drop_rate: 0, timeout_rate: 0, response_code: null });
}

async function someMessages() {
  await send("9841234567", "Your order 1207 left Kathmandu. It arrives tomorrow.", "Kirana");
  await send("9812345678", "482913 is your Hulak code. Do not share it with anyone.");
  await send("9801112223", "771204 तपाईंको Hulak कोड हो। कसैलाई नदिनुहोस्।");
  await send("9812345678", "090311 is your Kirana Shop code. Do not share it with anyone.");
}

async function open(page, query = "") {
  await page.goto(`${inbox}${query}`);
  await page.getByText("Live", { exact: true }).waitFor();
}

scene("an empty inbox tells how to begin", {}, async ({ page }) => {
  await empty();
  await open(page);
  await page.getByRole("heading", { name: "No messages yet" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Verify a number" }).getAttribute("href"), `${api}/verify`);
  assert.match(await page.locator("pre").innerText(), /curl http:\/\/127\.0\.0\.1:\d+\/v2\/sms\//);
  await accessible(page);
  await shot(page, "inbox-empty");
  // While the page is open.
  await send("9812345678", "482913 is your Hulak code.");
  await page.getByRole("heading", { name: "9812345678" }).waitFor();
  await page.getByText("New message to 9812345678, code 4 8 2 9 1 3").waitFor({ state: "attached" });
  assert.equal(await page.getByRole("heading", { name: "No messages yet" }).count(), 0);
});

for (const [size, scheme] of [["desktop", "light"], ["desktop", "dark"], ["phone", "light"], ["phone", "dark"]]) {
  scene(`messages by number, ${size}, ${scheme}`, { size, scheme }, async ({ page }) => {
    await empty();
    await open(page);
    await someMessages();
    await page.getByText("2 messages").waitFor();
    const numbers = await page.locator("article h2").allInnerTexts();
    assert.deepEqual(numbers, ["9812345678", "9801112223", "9841234567"]);
    await page.getByText("From Hulak · 1 part, 1 credit · UCS-2, 46 of 70").waitFor();
    assert.equal(await page.locator("mark").first().innerText(), "090311");
    await fits(page);
    const heights = await page.locator("article > header").evaluateAll((headers) =>
      headers.map((header) => ["h2", "button"].map((part) => {
        const { top, bottom } = header.querySelector(part).getBoundingClientRect();
        return (top + bottom) / 2;
      })));
    for (const [number, clear] of heights) assert.ok(Math.abs(number - clear) < 8, "beside its number, on one line");
    await accessible(page);
    await shot(page, `inbox${size === "phone" ? "-phone" : ""}${scheme === "dark" ? "-dark" : ""}`);
  });
}

scene("a code is copied with a click", { grants: ["clipboard-read", "clipboard-write"] }, async ({ page }) => {
  await empty();
  await someMessages();
  await open(page);
  const code = page.getByRole("button", { name: "771204" });
  await code.click();
  await code.getByText("Copied").waitFor();
  const toast = await page.locator("#toast").boundingBox();
  assert.ok(toast.y > 600 && toast.width < 700, `it covers nothing that is read: ${JSON.stringify(toast)}`);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "771204");
  await page.getByText("Code 7 7 1 2 0 4 copied").waitFor({ state: "attached" });
  await accessible(page);
});

scene("search finds numbers and texts", {}, async ({ page }) => {
  await empty();
  await someMessages();
  await open(page);
  await page.keyboard.press("/");
  await page.keyboard.type("kathmandu");
  await until("the one", async () => (await page.locator("article").count()) === 1);
  await until("the whole word in its address", () => page.url().endsWith("/inbox?q=kathmandu"));
  await page.getByRole("searchbox").fill("कोड");
  await page.getByRole("heading", { name: "9801112223" }).waitFor();
  await until("the other one", async () => (await page.locator("article").count()) === 1);
  await page.getByRole("searchbox").fill("<nothing>");
  await page.getByText("No messages match “<nothing>”.").waitFor();
  await accessible(page);
  // What does not match stays away.
  await send("9812345678", "111222 is your code.");
  await page.getByText("New message to 9812345678").waitFor({ state: "attached" });
  assert.equal(await page.locator("article").count(), 0);
  await page.getByRole("searchbox").fill("");
  await page.getByText("3 messages").waitFor();
});

scene("messages are cleared, by number and all", {}, async ({ page }) => {
  await empty();
  await someMessages();
  await open(page);
  const clear = page.getByRole("button", { name: "Clear the messages to 9812345678" });
  await clear.click();
  await page.getByRole("heading", { name: "Clear the messages to 9812345678?" }).waitFor();
  await accessible(page);
  await page.getByRole("button", { name: "Keep" }).click();
  assert.equal((await messages("9812345678")).length, 2);
  await clear.click();
  await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
  await until("they are gone", async () => (await page.locator("article").count()) === 2);
  assert.equal((await messages("9812345678")).length, 0);
  await page.getByRole("button", { name: "Clear all messages" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
  await page.getByRole("heading", { name: "No messages yet" }).waitFor();
});

scene("faults and credits are set from the page", { silent: false }, async ({ page }) => {
  await empty();
  await open(page);
  await page.getByRole("button", { name: "Down" }).click();
  await page.getByText("Every call is answered HTTP 503.").waitFor();
  await accessible(page);
  await shot(page, "inbox-faults");
  await page.getByText("Set each fault").click();
  await page.getByLabel("Every call is answered").selectOption("1012");
  await page.getByLabel("HTTP 500, %").fill("12.5");
  await page.getByLabel("Credits", { exact: true }).fill("7");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("Every call is answered 1012 (No Credits Available). 12.5 % of the calls fail").waitFor();
  const set = await (await fetch(`${simulator}/faults`)).json();
  assert.deepEqual([set.response_code, set.error_rate, set.credits], [1012, 0.125, 7]);
  await accessible(page);
  await page.getByRole("button", { name: "No faults" }).click();
  await until("no warning", async () => (await page.locator(".message.warn").count()) === 0);
  await faults({ credits: 1_000_000 });
  await page.getByText("1,000,000").waitFor();
});

scene("all of it with the keyboard", { grants: ["clipboard-read", "clipboard-write"] }, async ({ page }) => {
  await empty();
  await someMessages();
  await open(page);
  await tabTo(page, "Skip to the messages");
  await page.keyboard.press("Enter");
  await tabTo(page, "Clear the messages to 9812345678");
  await tabTo(page, "090311");
  await page.keyboard.press("Enter");
  await until("the code", async () => (await page.evaluate(() => navigator.clipboard.readText())) === "090311");
  // A message that comes leaves the focus where it is.
  await send("9860000001", "333444 is your code.");
  await page.getByRole("heading", { name: "9860000001" }).waitFor();
  const focused = await page.evaluate(() => document.activeElement.dataset.copy);
  assert.equal(focused, "090311");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal((await messages("9812345678")).length, 2);
});

scene("a simulator that comes back is noticed", { silent: false }, async ({ page, context }) => {
  await empty();
  await open(page);
  await context.setOffline(true);
  await page.reload().catch(() => {});
  await context.setOffline(false);
  await open(page);
  await send("9812345678", "555666 is your code.");
  assert.equal(await codeTo("9812345678"), "555666");
  await page.getByRole("button", { name: "555666" }).waitFor();
});
