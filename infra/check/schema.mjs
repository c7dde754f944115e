// Writes infra/check/schema.json: arguments and blocks of the AWS resources that the modules use, as the provider knows
// them. `terraform validate` would ask the provider itself, which only the Terraform registry gives out; the package
// @cdktf/provider-aws is generated from the same schema.
//
//   npm pack @cdktf/provider-aws && tar xzf cdktf-provider-aws-*.tgz
//   node infra/check/schema.mjs package/lib KIND... > infra/check/schema.json     KIND: aws_s3_bucket or data.aws_partition

import { readFileSync } from "node:fs";
import { join } from "node:path";

const [lib, ...kinds] = process.argv.slice(2);
const capital = (name) => name[0].toUpperCase() + name.slice(1);
const camel = (name) => name.replace(/_+([a-z0-9])/g, (_, c) => c.toUpperCase());

function schemaOf(kind) {
  const name = kind.replace(/^data\./, "data_").replaceAll("_", "-");
  const folder = join(lib, name.replace(/^aws-/, ""));
  const js = readFileSync(join(folder, "index.js"), "utf8");
  const types = readFileSync(join(folder, "index.d.ts"), "utf8");
  const provider = js.match(/providerVersion: '([^']+)'/)[1];

  const required = (type) => {
    const body = types.match(new RegExp(`export interface ${type}( extends [^{]*)? \\{([\\s\\S]*?)\\n\\}`));
    return body ? [...body[2].matchAll(/readonly (\w+)(\?)?:/g)].filter((m) => !m[2]).map((m) => m[1]) : [];
  };
  const entries = (text, type) => {
    const result = { arguments: [], blocks: {}, required: [] };
    const needed = required(type);
    for (const [, key, body] of text.matchAll(/\n\s+"?(\w+)"?: \{\n\s+value: ([\s\S]*?)\n\s+\},?(?=\n)/g)) {
      const block = /isBlock: true/.test(body) && body.match(/(\w+)ToHclTerraform[,)(]/g)?.at(0);
      const nested = block && block.match(/^(\w+)ToHclTerraform/)[1];
      if (/isBlock: true/.test(body) && nested && js.includes(`function ${nested}ToHclTerraform`)) {
        result.blocks[key] = structure(nested);
      } else {
        result.arguments.push(key);
      }
      if (needed.includes(camel(key))) result.required.push(key);
    }
    return result;
  };
  const structure = (name) => {
    const text = js.match(new RegExp(`function ${name}ToHclTerraform[\\s\\S]*?\\n\\}`))[0];
    return entries(text, capital(name));
  };
  const type = types.match(/export interface (\w+) extends cdktf\.TerraformMetaArguments/)[1];
  const top = js.match(/synthesizeHclAttributes\(\) \{[\s\S]*?\n {4}\}/)?.[0] ?? "";
  return { provider, ...entries(top, type) };
}

const result = { provider: null, kinds: {} };
for (const kind of kinds.sort()) {
  const { provider, ...schema } = schemaOf(kind);
  result.provider = provider;
  result.kinds[kind] = schema;
}
process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
