// Parses and formats Terraform files as HashiCorp's own code does (compiled to WebAssembly), where `terraform fmt` is not
// at hand. Exits with 1 if a file does not parse or would be changed.
//
//   npm install --prefix DIR @cdktn/hcl-tools@0.24.0 @cdktn/hcl2json@0.24.0
//   node infra/check/format.mjs DIR FILE...

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [packages, ...files] = process.argv.slice(2);
const load = createRequire(join(resolve(packages), "node_modules", "none.js"));
const { format } = load("@cdktn/hcl-tools");
const { parse } = load("@cdktn/hcl2json");

let wrong = 0;
for (const file of files) {
  const text = readFileSync(file, "utf8");
  try {
    await parse(file, text);
    if ((await format(text)) !== text) throw new Error("not formatted as `terraform fmt` would");
  } catch (error) {
    console.error(`${file}: ${error.message ?? error}`);
    wrong += 1;
  }
}
console.log(`${files.length} Terraform files, ${wrong} wrong`);
process.exit(wrong ? 1 : 0);
