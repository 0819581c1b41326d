package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
)

func bookmark(version string) watch.Event {
	return watch.Event{Type: watch.Bookmark, Object: webAt(version)}
}

// TestWatchesOnFromAJournal has a process begin with a journal in which pods were seen up to
// version 5. It watches on from there, and says when it has caught up: by a bookmark, by what is
// as new as the API server was, or when it has waited long enough. Where the API server has
// nothing to go on from, or was restored from a backup, it lists.
func TestWatchesOnFromAJournal(t *testing.T) {
	unauthorized := apierrors.NewUnauthorized("the token has expired")
	expired := apierrors.NewResourceExpired("too old")
	late := func(t watch.EventType, version string) watch.Event {
		pod := webAt(version)
		pod.CreationTimestamp = metav1.Unix(1000, 0)
		return watch.Event{Type: t, Object: pod}
	}
	added := late(watch.Added, "6")
	type attempt struct {
		asked
		want []string
	}
	for name, test := range map[string]attempt{
		"a bookmark": {
			asked: asked{list: []string{"9"}, opens: []error{nil, nil, unauthorized}, watches: [][]watch.Event{{added, bookmark("9")}, modified("10")}},
			want:  []string{"pod 6 late", "seen 9", "pod 10"},
		},
		"what is as new": {
			asked: asked{list: []string{"9"}, opens: []error{nil, unauthorized}, watches: [][]watch.Event{{added, late(watch.Modified, "9"), late(watch.Modified, "10")}}},
			want:  []string{"pod 6 late", "pod 9 late", "seen 9", "pod 10"},
		},
		"nothing for long": {
			asked: asked{list: []string{"9"}, opens: []error{nil, nil, nil, nil, nil, nil, unauthorized}, watches: make([][]watch.Event, 6)},
			want:  []string{"seen 5"},
		},
		"nobody ends the watch": { // nor says how far it is: each of them is cut
			asked: asked{list: []string{"9"}, opens: []error{nil, nil, nil, unauthorized}, watches: [][]watch.Event{{added}, nil, nil}, endless: true},
			want:  []string{"pod 6 late", "seen 6"},
		},
		"too old": {
			asked: asked{list: []string{"9", "9"}, opens: []error{expired, nil, unauthorized}, watches: [][]watch.Event{modified("10")}},
			want:  []string{"lists", "pod 9 late", "seen 9", "pod 10"},
		},
		"too old, as the watch itself says": { // which is how an API server with a watch cache says it
			asked: asked{list: []string{"9", "9"}, opens: []error{nil, nil, unauthorized}, watches: [][]watch.Event{{endsWith(expired)}, modified("10")}},
			want:  []string{"lists", "pod 9 late", "seen 9", "pod 10"},
		},
		"cannot be watched for a while": {
			asked: asked{
				list:    []string{"9"},
				opens:   []error{unauthorized, unauthorized, unauthorized, unauthorized, unauthorized, unauthorized, unauthorized, nil, nil, unauthorized},
				watches: [][]watch.Event{{added, bookmark("9")}, modified("10")},
			},
			want: []string{"pod 6 late", "seen 9", "pod 10"},
		},
		"a server restored from a backup": {
			asked: asked{list: []string{"4", "4"}, opens: []error{nil, unauthorized}, watches: [][]watch.Event{modified("10")}},
			want:  []string{"lists", "pod 4 late", "seen 4", "pod 10"},
		},
	} {
		for _, streams := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, streams %t", name, streams), func(t *testing.T) {
				test := attempt{asked: asked{list: slices.Clone(test.list), opens: append(slices.Clone(test.opens), unauthorized, unauthorized), watches: slices.Clone(test.watches), endless: test.endless}, want: test.want}
				var got []string
				synced, isCaughtUp := 0, false
				into := newObjectStore(store{
					kind: podKind, now: time.Now, relisted: func(int) {}, version: "5", resumed: true, started: true,
					emit: func(o causality.Observation) error {
						late := ""
						if !o.Since.IsZero() {
							late = " late"
						}
						got = append(got, "pod "+versionOf(o.Object)+late)
						return nil
					},
					reached: func(m sourceMark) error {
						switch {
						case m.away:
						case m.listing:
							got = append(got, "lists")
						default:
							got = append(got, "seen "+m.version)
							isCaughtUp = true
						}
						return nil
					},
				})
				into.synced = func() {
					if synced++; into.late || into.listing || !isCaughtUp && !into.first {
						t.Error("it is said to be through before it has caught up")
					}
				}
				client, semantics := test.client(streams)
				lists := &feeder{client: client, into: into, cutLate: time.Millisecond}
				reflector := cache.NewReflectorWithOptions(lists.listerWatcher(semantics), nil, into, cache.ReflectorOptions{})
				for range 16 {
					if len(test.opens) > 2 { // a list that is refused as a stream is asked for in pages
						_ = reflector.ListAndWatchWithContext(t.Context()) // how it ends is in what it asks
					}
				}
				if !slices.Equal(got, test.want) || synced != 1 {
					t.Errorf("it said %v, want %v, and %d times that the first list is through; it asked for %v", got, test.want, synced, test.was)
				}
			})
		}
	}
}

// Up to where something was seen is written behind what was seen: what waits is not passed over,
// and what a list has says nothing.
func TestPositionsAreBehindWhatWaits(t *testing.T) {
	l := newTestLive(t)
	l.listed = true
	k, err := journal.Open(journal.Options{Dir: t.TempDir(), New: func() journal.Engine { return causality.New(causality.Options{}) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(nil); err != nil {
		t.Fatal(err)
	}
	pod := func(version string) queued {
		p := webAt(version)
		p.SetGroupVersionKind(podKind.GroupVersionKind)
		return queued{Observation: causality.Observation{Time: time.Unix(9, 0), Type: watch.Modified, Object: p}}
	}
	mark := func(m sourceMark) queued {
		m.source = sourceKey(podKind.GroupKind(), "")
		return queued{mark: &m}
	}
	says := func(version string, listing bool) queued { return mark(sourceMark{version: version, listing: listing}) }
	feed := func(all ...queued) string {
		for _, in := range all {
			l.observe(k, l.take(nil, in))
		}
		return fmt.Sprint(k.Positions())
	}
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	check("watched", feed(pod("1"), pod("2")), "map[Pod :2]")
	check("a bookmark", feed(says("5", false)), "map[Pod :5]")
	l.options.Clock = clocktesting.NewFakeClock(time.Unix(20, 0))
	tell := func() string {
		l.tellBacklog(k)
		return feed()
	}
	check("a list", feed(says("", true), pod("6")), "map[Pod :5]")
	l.options.Clock = clocktesting.NewFakeClock(time.Unix(20, 0).Add(backlogLongest))
	l.spillBacklog(k)
	check("a list that takes long", feed(), "map[]")
	check("a list that is through", feed(pod("7"), says("8", false)), "map[]")
	check("and told", tell(), "map[Pod :8]")
	check("what waits", feed(mark(sourceMark{away: true}), pod("9"), says("11", false), pod("12")), "map[Pod :8]")
	check("what has waited", tell(), "map[Pod :12]")
	check("what may not be read", feed(mark(sourceMark{away: true}), mark(sourceMark{refused: true})), "map[Pod :12]")
	check("and is not waited for", tell(), "map[Pod :12]")

	// What is missed while one kind is listed: the list is behind all else, and what a watch tells
	// behind the list is behind that.
	l.backlog = newBacklog(k.Positions())
	check("a backlog", feed(pod("13"), says("", true), pod("14"), says("15", false), pod("16")), "map[Pod :12]")
	check("a backlog that is told", tell(), "map[Pod :16]")
	l.backlog = newBacklog(k.Positions())
	feed(pod("17"), says("20", false), pod("21"))
	l.tellBacklog(k)
	check("a bookmark in a backlog", feed(), "map[Pod :21]")
}

// What was missed is put in the order of its versions, and dated by what the API server states:
// what is made is made in that second, and what states nothing new is between the others.
func TestMissedIsDated(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	from, now := at(0).Add(300*time.Millisecond), at(60).Add(500*time.Millisecond)
	write := func(source, version, uid string, stated int, isNew bool) missed {
		return missed{source: source, version: version, uid: types.UID(uid), stated: at(stated), isNew: isNew}
	}
	b := newBacklog(map[string]string{"Pod ": "1"})
	events := func(m missed) missed { m.group = "events"; return m }
	b.items = []missed{
		write("Pod ", "20", "b", 10, true),
		write("Pod ", "22", "b", 10, false), // it states nothing new
		write("Pod ", "26", "c", 30, true),
		write("Pod ", "90", "c", 30, false),
		write("ReplicaSet ", "18", "a", -50, false), // nor does this one, which was made long ago
		write("ReplicaSet ", "24", "a", 20, false),
		events(write("Event ", "3", "e", 25, true)), // in a store of its own
		events(write("Event ", "4", "f", 40, true)),
		{source: "Pod ", version: "80", listed: true, inList: true, came: at(56)},
		{source: "Pod ", version: "83", listed: true, came: at(57)},
		{source: "Deployment ", version: "81", listed: true, inList: true, came: at(58)},
		{source: "Deployment ", version: "85", listed: true, came: at(59)},
		{source: "Pod ", version: "87", listed: true, came: at(59)},
		{source: "Pod ", version: "82", listed: true, stated: at(35), came: at(60)},
	}
	var got []string
	for _, m := range b.sorted(from, from, now) {
		got = append(got, fmt.Sprintf("%s%s %d-%d", m.source, m.version, m.since.Unix()-1000, m.by.Unix()-1000))
	}
	want := []string{
		"ReplicaSet 18 0-10", "Pod 20 10-10", "Pod 22 10-20", "ReplicaSet 24 20-20", "Event 3 25-25", "Pod 26 30-30", "Event 4 40-40",
		"Deployment 81 0-58", "Pod 80 0-58", "Pod 83 57-58", "Deployment 85 59-59", "Pod 87 59-59", "Pod 90 30-60", "Pod 82 35-60",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// What a list has may be of any time since anything was heard of last, and in one process of before
	// that if it says so: whoever was heard of may have been the only one. The last is by a clock that is off.
	listed := func(stated int) missed {
		return missed{source: "Deployment ", version: "81", listed: true, inList: true, stated: at(stated), came: at(58)}
	}
	for _, c := range []struct {
		stated       int
		heard        time.Time // of an outage
		since, until int
	}{{50, time.Time{}, 0, 58}, {-50, time.Time{}, 0, 58}, {-3600, at(20), -25, 58}, {10, at(20), 10, 58}, {30, at(20), 20, 58}, {3600, at(20), 20, 58}} {
		b := newBacklog(map[string]string{})
		b.heard, b.items = c.heard, []missed{listed(c.stated)}
		earliest := from
		if !c.heard.IsZero() {
			earliest = c.heard
		}
		m := b.sorted(earliest, from, now)[0]
		if since, until := m.since.Unix()-1000, m.by.Unix()-1000; since != int64(c.since) || until != int64(c.until) {
			t.Errorf("what states %d, and is listed at 58, is of %d to %d, want %d to %d", c.stated, since, until, c.since, c.until)
		}
	}
	// What comes while others catch up states nothing, and does not part the groups.
	group := []missed{write("Pod ", "20", "b", 10, true), {source: "Pod ", version: "22", isNew: true}, write("Pod ", "24", "c", 20, true)}
	if !countsUp(group) {
		t.Error("what states nothing is taken for older than all")
	}
	if !b.waiting(now) {
		t.Error("it waits for no pods")
	}
	if b.mark(sourceMark{source: "Pod ", version: "95"}, true); b.waiting(now) || b.lists {
		t.Error("it waits for pods that have caught up")
	}
	if b.last["Pod "] != "95" {
		t.Errorf("pods were seen up to %v", b.last)
	}
}
