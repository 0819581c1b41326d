package demo

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestMoved has an Event, of which everything that is a time is moved by an hour and a
// second, and everything else is left.
func TestMoved(t *testing.T) {
	event := func(name, stamp, offset, micro string) string {
		return `{"apiVersion":"v1","kind":"Event","metadata":{"name":"` + name + `","namespace":"shop","resourceVersion":"17",` +
			`"uid":"e3451c5a-4623-4004-97ee-39a506e304c0","creationTimestamp":"` + stamp + `","managedFields":[{"time":"` + stamp + `"}]},` +
			`"eventTime":"` + micro + `","message":"restarted at \"` + offset + `\" on 2026-11-21"}`
	}
	m := mover{by: time.Hour + time.Second, run: uuid.New()}
	e := recorded{
		At:     time.Date(2026, 11, 21, 23, 30, 0, 5, time.UTC),
		Object: json.RawMessage(event("web.18ea023fdfc65df0", "2026-11-21T23:30:00Z", "2026-11-21T21:30:00-02:00", "2026-11-21T23:30:00.120450Z")),
	}
	if err := m.move(&e); err != nil {
		t.Fatal(err)
	}
	// The digits of the name are nanoseconds: 3601e9 more.
	want := event("web.18ea05864c19c7f0", "2026-11-22T00:30:01Z", "2026-11-21T22:30:01-02:00", "2026-11-22T00:30:01.120450Z")
	uid := uuid.NewSHA1(m.run, []byte("e3451c5a-4623-4004-97ee-39a506e304c0")).String()
	want = strings.ReplaceAll(want, "e3451c5a-4623-4004-97ee-39a506e304c0", uid)
	if got := string(e.Object); got != want {
		t.Errorf("it became\n%s\nwant\n%s", got, want)
	}
	if want := time.Date(2026, 11, 22, 0, 30, 1, 5, time.UTC); !e.At.Equal(want) {
		t.Errorf("it arrives at %s, want %s", e.At, want)
	}
}
