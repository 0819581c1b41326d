// Reads TraceQL queries, a JSON array of strings, from standard input, and writes where
// each of them is wrong: an array for each, of offsets at which Grafana's grammar, which
// goes on after an error, does not know what to do.
import { readFileSync } from 'node:fs';
import { parser } from '@grafana/lezer-traceql';

const wrong = JSON.parse(readFileSync(0, 'utf8')).map(query => {
  const offsets = [];
  parser.parse(query).iterate({
    enter: node => {
      if (node.type.isError) {
        offsets.push(node.from);
      }
    },
  });
  return offsets;
});
process.stdout.write(JSON.stringify(wrong));
