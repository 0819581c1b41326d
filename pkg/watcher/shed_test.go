package watcher

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// What is forgotten is said at once, and then once a minute, whatever comes between.
func TestShedLog(t *testing.T) {
	var out bytes.Buffer
	s := shedLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	note := func(told, untold int64, namespace string) []string {
		out.Reset()
		s.note(&causality.Stats{ShedIn: namespace, Shed: map[causality.ShedReason]int64{
			causality.ShedTold: told, causality.ShedUntold: untold,
		}}, now)
		return strings.Fields(out.String())
	}
	for _, test := range []struct {
		passed       time.Duration
		told, untold int64
		want         string
	}{
		{0, 0, 0, ""},
		{0, 3, 0, "level=INFO told=3 untold=0 lastIn=shop"},
		{time.Second, 3, 2, ""},
		{time.Minute, 5, 4, "level=WARN told=2 untold=4 lastIn=shop"},
		{time.Hour, 5, 4, ""},
	} {
		now = now.Add(test.passed)
		said := note(test.told, test.untold, "shop")
		if test.want == "" && len(said) > 0 {
			t.Errorf("%+v: said %q", test, said)
		}
		for word := range strings.FieldsSeq(test.want) {
			if !strings.Contains(" "+strings.Join(said, " ")+" ", " "+word+" ") {
				t.Errorf("%+v: said %q, without %s", test, said, word)
			}
		}
	}
}
