import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const STEP_MS = 15_000;
setTimeout(() => process.exit(1), 600_000).unref();

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  timeout: STEP_MS,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    // Pages may name fonts elsewhere, and the browser its maker's hosts: nothing leaves this machine.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE localhost',
  ],
});
const context = await browser.newContext();
// A little less, so that Playwright's own error comes first: it names what it waited for.
context.setDefaultTimeout(STEP_MS - 500);
const tabs = [await context.newPage()];
let page = tabs[0];

const exact = { exact: true };
const commands = {
  open: async (url) => ({ status: (await page.goto(url))?.status() }),
  // A placeholder names a field that has no label. Without a label, the keys go to where the focus is.
  type: async ({ label, text }) => {
    if (label !== undefined) await page.getByLabel(label, exact).or(page.getByPlaceholder(label, exact)).focus();
    await page.keyboard.type(text);
  },
  press: (key) => page.keyboard.press(key),
  click: ({ role, name }) => page.getByRole(role, { name, ...exact }).click(),
  // Keys and clicks do not wait for the page that they lead to.
  wait: async ({ text, url, focus }) => {
    if (text !== undefined) await page.getByText(text).first().waitFor();
    if (url !== undefined) await page.waitForURL((now) => now.href.startsWith(url));
    const hasFocus = (name) => (document.activeElement.labels?.[0] ?? document.activeElement).innerText === name;
    if (focus !== undefined) await page.waitForFunction(hasFocus, focus);
  },
  text: async () => ({ title: await page.title(), url: page.url(), text: await page.locator('body').innerText() }),
  // As on a desk, and as on a small phone at night, where nothing may be wider than the screen. Pictures if asked for.
  look: async ({ path }) => {
    const [desk, phone] = [page.viewportSize(), { width: 320, height: 640 }];
    const look = async (colorScheme, size, name) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(size);
      if (path) await page.screenshot({ path: `${path}${name}.png`, fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > size.width) throw new Error(`the page is ${wide} wide on a screen of ${size.width}`);
    };
    await look('dark', phone, '-dark-narrow');
    await look('light', desk, '');
  },
  tab: async (number) => {
    if (number === true) tabs.push(await context.newPage());
    page = tabs.at(number === true ? -1 : number);
    await page.bringToFront();
    return { tab: tabs.indexOf(page) };
  },
  close: () => browser.close(),
};

async function run(line) {
  const [[name, argument]] = Object.entries(JSON.parse(line));
  if (!(name in commands)) throw new Error(`${name}: no such command`);
  const late = sleep(STEP_MS, undefined, { ref: false }).then(() => {
    throw new Error(`${name}: not done after ${STEP_MS} ms`);
  });
  return { ok: true, ...await Promise.race([late, commands[name](argument)]) };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(line).catch((error) => ({ ok: false, error: error.message }))));
  if (!browser.isConnected()) break;
}
await browser.close();
process.exit();
