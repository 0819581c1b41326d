package journal_test

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Log records survive a process as spans do: one that dies after each so many steps, and has
// acknowledged half of what it handed out, leaves the others to the next, with the same content.
// All processes together hand out what one that lives does.
func TestRecordsSurviveProcesses(t *testing.T) {
	options := causality.Options{Records: func(*corev1.Event) bool { return true }}
	steps := load(t, "crash-loop")
	type known struct {
		content      string
		acknowledged bool
	}
	run := func(dir string, every int) map[trace.TraceID]known {
		told := map[trace.TraceID]known{}
		var k *journal.Keeper
		n := 0
		note := func(out []spans.Trace) {
			for _, tr := range out {
				if tr.Record == nil {
					k.Acknowledge(journal.KeysOf(&tr)...)
					continue
				}
				before, was := told[tr.Record.UID]
				now := known{content: fmt.Sprintf("%+v", *tr.Record)}
				if was && before.acknowledged {
					t.Errorf("told again, though it had arrived: %s", now.content)
				}
				if was && before.content != now.content {
					t.Errorf("told with other words:\n%s\n%s", before.content, now.content)
				}
				if n++; n%2 == 0 {
					now.acknowledged = true
					k.Acknowledge(journal.KeysOf(&tr)...)
				}
				told[tr.Record.UID] = now
			}
		}
		open := func() {
			var err error
			k, err = journal.Open(journal.Options{Dir: dir, New: func() journal.Engine { return causality.New(options) }})
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Recover(func(out []spans.Trace) error { note(out); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		open()
		for i, s := range steps {
			note(taken(k, s))
			if every > 0 && i%every == every-1 {
				k.Tick()
				if err := k.Close(); err != nil { // what was acknowledged is on the disk
					t.Fatal(err)
				}
				open()
			}
		}
		return told
	}
	want := run("", 0)
	got := run(t.TempDir(), 25)
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for uid, record := range want {
		if got[uid].content != record.content {
			t.Errorf("a process that lives says\n%s\nand those that die\n%s", record.content, got[uid].content)
		}
	}
}
