// Verifies a number from the command line: node examples/node/verify.mjs 9812345678
//
// Asks for a code, follows its message as events, takes what you type, and verifies the token. With `cargo run` the
// message is at http://127.0.0.1:8081/inbox.

import { createInterface } from "node:readline";
import { CLIENT_ID, Problem, call, events, readToken } from "./hulak.mjs";

const asciiDigits = (text) =>
  text.replace(/[०-९]/g, (digit) => String(digit.charCodeAt(0) - 0x966)).replace(/\D/g, "");

/** Waits until the message has left, or will not leave. */
async function follow(id) {
  for await (const { status, delivery } of events(id)) {
    if (status !== "pending" || !["queued", "sending"].includes(delivery.status)) return delivery.status;
  }
  return "unknown";
}

/** Takes codes until one is right: its token. */
async function ask(path) {
  const prompt = () => console.log("Code (nothing: send another message):");
  prompt();
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      if (line.trim() !== "") return (await call("POST", `${path}/check`, { code: asciiDigits(line) })).token;
      await call("POST", `${path}/resend`);
      console.log("Another message is on its way.");
    } catch (error) {
      if (!["incorrect-code", "malformed-code", "resend-cooldown"].includes(error.slug)) throw error;
      console.log(`${error.slug}: ${error.message}`);
    }
    prompt();
  }
  throw new Error("No code, no proof.");
}

async function main([phone, ...more]) {
  if (phone === undefined || more.length > 0) throw new Error("usage: verify.mjs NUMBER");
  const verification = await call("POST", "/v1/verifications", { phone });
  console.log(`Verifying ${verification.phone} (${verification.operator ?? "unknown operator"})`);
  console.log(`Message: ${await follow(verification.id)}`);
  const token = await ask(`/v1/verifications/${verification.id}`);
  // It came from Hulak in answer to our own key, so it may tell who we are. One that a page brings may not.
  const audience = CLIENT_ID ?? JSON.parse(Buffer.from(token.split(".")[1], "base64url")).aud;
  const claims = await readToken(token, audience);
  console.log(`Verified: ${claims.sub}\nApplication: ${claims.aud}\nToken: ${token}`);
}

main(process.argv.slice(2))
  .catch((error) => {
    console.error(error instanceof Problem ? `${error.slug}: ${error.message}` : error.message);
    process.exitCode = 1;
  })
  // Whoever feeds it may keep the other end open.
  .finally(() => process.stdin.destroy());
