// Writes an audit log as a Node service keeps it, for COPY: each row hashed by SHA-256 of what json-stable-stringify makes of it.
//
//   node log.js ROWS
//
// That sorts names, which takes most of the time of ten million rows; here they are written sorted, and every thousandth row is
// compared. What is stored has the names of nested values in another order, as a service's would.

'use strict';
const assert = require('assert');
const crypto = require('crypto');
const stringify = require('json-stable-stringify');

const rows = Number(process.argv[2]);
const escape = (text) => (/[\\\t\n]/.test(text) ? text.replace(/[\\\t\n]/g, (c) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n' })[c]) : text);
const cell = (value) => (value === undefined ? '\\N' : escape(String(value)));

// One set of values twice: with the names as a service writes them, and sorted.
const values = (total, status, net) => [
  { total, status, lines: [{ vat: 19, net }] },
  { lines: [{ net, vat: 19 }], status, total },
];
const metadata = (requestId) => [
  { requestId, trace: `t-${requestId}`, retry: false },
  { requestId, retry: false, trace: `t-${requestId}` },
];
const NONE = [undefined, undefined];

let previousHash;
function line(n) {
  const login = n % 4 === 2;
  const old = n % 4 === 0 ? values((n % 100000) / 100, 'open', n % 500) : NONE;
  const changed = login ? NONE : values((n % 70000) / 100, 'geprüft', n % 700);
  const data = n % 3 === 0 ? metadata(n) : NONE;
  const entry = {
    action: ['invoice.update', 'invoice.create', 'user.login', 'tax_report.submit'][n % 4],
    companyId: n % 17,
    ipAddress: `10.0.${n % 256}.${n % 199}`,
    metadata: data[1],
    newValues: changed[1],
    oldValues: old[1],
    previousHash,
    reason: undefined,
    resourceId: login ? undefined : String(n % 9973),
    resourceType: login ? undefined : 'invoice',
    timestamp: new Date(Date.UTC(2026, 0, 1) + n * 20).toISOString(),
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
    userId: n % 101,
  };
  const text = JSON.stringify(entry);
  if (n % 1000 === 0) assert.strictEqual(text, stringify(entry));
  const hash = crypto.createHash('sha256').update(text).digest('hex');
  const json = ([value]) => (value === undefined ? undefined : JSON.stringify(value));
  const cells = [n, hash, entry.action, entry.resourceType, entry.resourceId, entry.userId, json(old), json(changed), entry.ipAddress,
    entry.userAgent, entry.timestamp, previousHash, entry.reason, entry.companyId, json(data)];
  previousHash = hash;
  return cells.map(cell).join('\t');
}

async function main() {
  for (let n = 0; n < rows;) {
    const lines = [];
    for (const end = Math.min(rows, n + 2000); n < end; n += 1) lines.push(line(n));
    if (!process.stdout.write(lines.join('\n') + '\n')) await new Promise((done) => process.stdout.once('drain', done));
  }
}
main();
