// Package soak holds rollspan to what docs/reliability.md promises: nothing is lost, and nothing
// is told twice in two ways, whatever becomes of the process, of the collector and of the API
// server.
//
// One real control plane has workloads that change all the time. Beside a rollspan that nothing
// disturbs, one for each row of the table is disturbed in its way, and all of them watch the
// same. A collector for each notes every span, byte for byte, and hands it on to a real Jaeger.
//
// In make test each fault comes once or twice, in a few minutes. `make soak` has the counts and
// the size that its flags say, and writes its figures to docs/reliability.md.
package soak
