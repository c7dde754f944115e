// Writes an audit log as a Node service keeps it, for COPY: each row hashed by json-stable-stringify and SHA-256.
//
//   node log.js ROWS

'use strict';
const crypto = require('crypto');
const stringify = require('json-stable-stringify');

const rows = Number(process.argv[2]);
const escape = (text) => text.replace(/[\\\t\n]/g, (c) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n' })[c]);
const cell = (value) => {
  if (value === undefined) return '\\N';
  return escape(typeof value === 'object' ? JSON.stringify(value) : String(value));
};
const COLUMNS = ['action', 'resourceType', 'resourceId', 'userId', 'oldValues', 'newValues', 'ipAddress', 'userAgent', 'timestamp',
  'previousHash', 'reason', 'companyId', 'metadata'];

let previousHash;
async function main() {
  for (let n = 0; n < rows;) {
    const lines = [];
    for (const end = Math.min(rows, n + 2000); n < end; n += 1) {
      const entry = {
        action: ['invoice.update', 'invoice.create', 'user.login', 'tax_report.submit'][n % 4],
        resourceType: n % 4 === 2 ? undefined : 'invoice',
        resourceId: n % 4 === 2 ? undefined : String(n % 9973),
        userId: n % 101,
        oldValues: n % 4 === 0 ? { total: (n % 100000) / 100, status: 'open', lines: [{ vat: 19, net: n % 500 }] } : undefined,
        newValues: n % 4 === 2 ? undefined : { total: (n % 70000) / 100, status: 'geprüft', lines: [{ vat: 19, net: n % 700 }] },
        ipAddress: `10.0.${n % 256}.${n % 199}`,
        userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
        timestamp: new Date(Date.UTC(2026, 0, 1) + n * 20).toISOString(),
        previousHash,
        reason: undefined,
        companyId: n % 17,
        metadata: n % 3 === 0 ? { requestId: n, trace: `t-${n}`, retry: false } : undefined,
      };
      const hash = crypto.createHash('sha256').update(stringify(entry)).digest('hex');
      lines.push([n, hash, ...COLUMNS.map((name) => cell(entry[name]))].join('\t'));
      previousHash = hash;
    }
    if (!process.stdout.write(lines.join('\n') + '\n')) await new Promise((done) => process.stdout.once('drain', done));
  }
}
main();
