// The operator console.

import { readFileSync } from "node:fs";
import { accessible, admin, ask, assert, codeTo, fits, inbox, scene, shot, tabTo, until, wrongCode } from "./harness.mjs";

const operatorKey = readFileSync(process.env.HULAK_TEST_OPERATOR_KEY_FILE, "utf8").trim();
const simulator = new URL(inbox).origin;

async function faults(fields) {
  const response = await fetch(`${simulator}/faults`, { method: "PUT", body: JSON.stringify(fields) });
  assert.equal(response.status, 200);
}

async function signIn(page) {
  await page.goto(`${admin}/console`);
  await page.getByLabel("Operator's key").fill(operatorKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#live h1").waitFor();
}

/** A verification of a number whose message has gone out, or failed. */
async function begin(phone, delivery = "sent") {
  const { status, body } = await ask("POST", "/v1/verifications", { phone });
  assert.equal(status, 202, JSON.stringify(body));
  await until(`${phone} is ${delivery}`, async () => {
    const now = await ask("GET", `/v1/verifications/${body.id}`);
    return now.body.delivery.status === delivery;
  });
  return body.id;
}

async function approve(phone) {
  const id = await begin(phone);
  const code = await codeTo(phone.replace("+977", ""));
  assert.equal((await ask("POST", `/v1/verifications/${id}/check`, { code: wrongCode(code) })).status, 422);
  assert.equal((await ask("POST", `/v1/verifications/${id}/check`, { code })).status, 200);
}

/** What the chart with this id says in its legend, added up. */
async function counted(page, id) {
  const figures = await page.locator(`#${id} .legend b`).allInnerTexts();
  return figures.reduce((sum, text) => sum + Number(text.replaceAll(",", "")), 0);
}

scene("only an operator's key signs in", { silent: false }, async ({ page }) => {
  await page.goto(`${admin}/console`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await accessible(page);
  await shot(page, "console-sign-in");
  await page.keyboard.type("hk_this-is-the-key-of-an-application");
  await page.keyboard.press("Enter");
  await page.getByText("This is not an operator's key.").waitFor();
  await accessible(page);
  assert.ok(!page.url().includes("hk_"), page.url());
});

scene("charts move when traffic flows", {}, async ({ page }) => {
  await signIn(page);
  const [codes, approvals] = [await counted(page, "codes"), await counted(page, "approvals")];
  for (let n = 0; n < 5; n += 1) await approve(`+97798410000${10 + n}`);
  await until("the charts to follow", async () =>
    (await counted(page, "codes")) >= codes + 5 && (await counted(page, "approvals")) >= approvals + 5);
  assert.ok((await page.locator("#codes path.bar").getAttribute("d")).startsWith("M"));
  await page.locator("#codes summary").click();
  await page.locator("#codes td").first().waitFor();
  await page.getByRole("heading", { name: "Messages are going out." }).waitFor();
  await accessible(page);
  await page.getByRole("link", { name: "Last day" }).click();
  await page.getByText("a bar is half an hour").first().waitFor();
  await accessible(page);
});

for (const [size, scheme] of [["desktop", "light"], ["desktop", "dark"], ["phone", "light"], ["phone", "dark"]]) {
  scene(`the overview, ${size}, ${scheme}`, { size, scheme }, async ({ page }) => {
    await signIn(page);
    await fits(page);
    await accessible(page);
    const picture = `console-${size === "phone" ? "phone-" : ""}${scheme}`;
    await shot(page, picture);
    if (picture === "console-light") await shot(page, "console-whole", { fullPage: true });
  });
}

for (const [number, picture, options] of [
  ["+9779812340007", "console-story", {}],
  ["+9779812340008", "console-story-phone-dark", { size: "phone", scheme: "dark" }],
]) scene(`a failed verification is found by its number${options.size ? ", on a phone" : ""}`, options, async ({ page }) => {
  const digits = number.slice(4);
  await faults({ response_code: 1007 });
  try {
    await begin(number, "failed");
  } finally {
    await faults({ response_code: null });
  }
  await signIn(page);
  await page.getByRole("searchbox").fill(`${digits.slice(0, 3)}-${digits.slice(3, 6)} ${digits.slice(6)}`);
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByRole("heading", { name: number }).waitFor();
  assert.ok(!page.url().includes(digits), "no number in an address");
  await fits(page);
  await accessible(page);
  await shot(page, picture.replace("story", "number"));
  await page.locator("tbody a").first().click();
  await page.getByText("Message 1 failed for good").waitFor();
  await page.locator(".timeline").getByText("The gateway does not know the receiver (gateway code 1007).").waitFor();
  await fits(page);
  await accessible(page);
  await shot(page, picture);
});

scene("a block holds until it is lifted", {}, async ({ page }) => {
  await signIn(page);
  await page.getByRole("searchbox").fill("९८५१०००००९");
  await page.keyboard.press("Enter");
  await page.getByText("The number is not blocked.").waitFor();
  await page.getByLabel("Block for all clients").selectOption("hour");
  await page.getByLabel("Reason").fill("asked for by the person");
  await page.getByRole("button", { name: "Block", exact: true }).click();
  await page.getByText("The number is blocked for all clients.").waitFor();
  assert.equal((await ask("POST", "/v1/verifications", { phone: "9851000009" })).status, 403);
  await accessible(page);
  await page.getByRole("button", { name: "Lift the block" }).click();
  await page.getByText("The block was lifted.").waitFor();
  await begin("+9779851000009");
});

scene("sending is paused and resumed with the keyboard", {}, async ({ page }) => {
  await signIn(page);
  await tabTo(page, "Pause sending…");
  await page.keyboard.press("Enter");
  await tabTo(page, "Reason");
  await page.keyboard.type("the credits are nearly gone");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Sending is paused." }).waitFor();
  await page.getByText("the credits are nearly gone").first().waitFor();
  await page.locator(".badge").getByText("paused").waitFor();
  const { body } = await ask("POST", "/v1/verifications", { phone: "9841999901" });
  await accessible(page);
  await shot(page, "console-paused");
  await page.getByRole("button", { name: "Resume sending" }).click();
  await page.getByRole("button", { name: "Pause sending…" }).or(page.getByText("Pause sending…")).first().waitFor();
  await until("it is sent", async () =>
    (await ask("GET", `/v1/verifications/${body.id}`)).body.delivery.status === "sent");
  // Every action is in the audit log.
  await page.getByRole("link", { name: "All entries" }).click();
  for (const act of ["pause", "resume", "sign-in"]) await page.getByRole("cell", { name: act, exact: true }).first().waitFor();
  await fits(page);
  await accessible(page);
  await shot(page, "console-record");
});

scene("signing out ends the session", { silent: false }, async ({ page }) => {
  await signIn(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goto(`${admin}/console/record`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});
