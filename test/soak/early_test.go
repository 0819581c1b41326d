package soak

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// A row in which a process had not caught up when it was disturbed again says so.
func TestRowsSayWhatHadNotCaughtUp(t *testing.T) {
	for says, want := range map[string]string{
		"level=INFO msg=\"watching; a change is told\"": "| often | 3 |",
		"level=INFO msg=\"waiting to be elected\"":      "| often | 3, 1 before it had caught up |",
	} {
		r := &running{t: t, random: rand.New(rand.NewPCG(1, 1))} //nolint:gosec // Nothing secret.
		r.row = row{name: "often", times: 3, inSoak: 3, disturb: func(context.Context, *running) {}}
		for _, said := range []string{"watching;", says} { // and not one of two that has
			p, err := harness.Start("/bin/sh", nil, "-c", "echo '"+said+"' >&2")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			<-p.Exited()
			r.programs = append(r.programs, p)
		}
		r.run(t.Context())
		results := []*result{{running: r, heard: []heard{{what: "log records"}}}}
		for _, table := range []string{tableOf(results), heardTable(results)} {
			if !strings.Contains(table, want) {
				t.Errorf("of one that says %s it has no %q:\n%s", says, want, table)
			}
		}
	}
}
