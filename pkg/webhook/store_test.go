package webhook

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// disk is a Store in memory that outlives Senders.
type disk struct {
	mu     sync.Mutex
	kept   []onDisk
	read   int
	next   uint64
	broken bool
	synced int
	room   int // for how many there is; 0 for all
	lost   int // how many cannot be read
}

type onDisk struct {
	namespace string
	body      []byte
	place     uint64
}

func (d *disk) Append(namespace string, body []byte) (place uint64, gone []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return 0, nil
	}
	d.next++
	d.kept = append(d.kept, onDisk{namespace, slices.Clone(body), d.next})
	for d.room > 0 && len(d.kept) > d.room {
		gone = append(gone, d.kept[0].place)
		d.kept = d.kept[1:]
	}
	d.read = len(d.kept)
	return d.next, gone
}

func (d *disk) Next() (namespace string, body []byte, place uint64, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost, d.lost = d.lost, 0
	if d.read == len(d.kept) {
		return "", nil, 0, lost
	}
	it := d.kept[d.read]
	d.read++
	return it.namespace, it.body, it.place, lost
}

func (d *disk) Done(place uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = slices.DeleteFunc(d.kept, func(it onDisk) bool { return it.place <= place })
	d.read = len(d.kept)
}

func (d *disk) Sync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced++
}

func (d *disk) Working() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.broken
}

func (d *disk) restart() { d.read = 0 }

func (d *disk) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.kept)
}

// startOn is start with a disk. The process before is gone.
func startOn(t *testing.T, d *disk, c Config) (*Sender, *logs) {
	t.Helper()
	c.MinBackoff, c.MaxBackoff = time.Millisecond, 2*time.Millisecond
	said := &logs{}
	d.restart()
	s, err := newSender(c, newTeller(t), d, said.logger(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s, said
}

// end ends a Sender that may wait no longer.
func end(s *Sender) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Close(ctx)
}

// What waits for a receiver that is away survives the process, in order, and is sent by the next
// one. An event that is told again meanwhile, as nobody could say that it was told, waits once.
func TestWhatWaitsSurvivesTheProcess(t *testing.T) {
	d := &disk{}
	away := newReceiver(t, status(http.StatusServiceUnavailable))
	s, said := startOn(t, d, Config{URL: away.URL})
	for n := range 3 {
		s.Begin(alarm("shop", n))
	}
	if err := end(s); err != nil {
		t.Errorf("it ends with %v, and nothing is lost", err)
	}
	if st := s.Stats(); st.Offered != 3 || st.Left != 3 || st.Lost.Total() != 0 || d.left() != 3 || said.count("left to the next run") != 1 {
		t.Errorf("the first run: %+v, %d on the disk, it said\n%s", st, d.left(), said)
	}

	// The second is killed before it can send: it says nothing to the disk.
	s, _ = startOn(t, d, Config{URL: away.URL})
	s.Begin(alarm("shop", 1)) // again
	s.Begin(alarm("shop", 3))
	if err := end(s); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Found != 3 || st.Offered != 4 || st.Left != 4 {
		t.Errorf("the second run: %+v", st)
	}

	back := newReceiver(t, status(http.StatusOK))
	s, _ = startOn(t, d, Config{URL: back.URL})
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if got, want := back.subjects(), []string{"shop/pod/0", "shop/pod/1", "shop/pod/2", "shop/pod/3"}; !slices.Equal(got, want) {
		t.Errorf("there came %q, want %q", got, want)
	}
	if st := s.Stats(); st.Sent != 4 || d.left() != 0 {
		t.Errorf("the third run: %+v, and %d are left on the disk", st, d.left())
	}
}

// What is too old when the next run begins is lost, and counted; so is what cannot be read.
func TestWhatTheDiskHasIsOldOrDamaged(t *testing.T) {
	d := &disk{}
	old := item{at: time.Now().Add(-2 * DefaultMaxAge), body: []byte(`{"id":"old"}`)}
	d.Append("shop", old.pack())
	for _, damaged := range []string{"", "\x01", "\x02 and more of it", "\x0112345678", "\x0112345678{", `\x0112345678{"id":7}`} {
		d.Append("shop", []byte(damaged))
	}
	back := newReceiver(t, status(http.StatusOK))
	s, said := startOn(t, d, Config{URL: back.URL})
	s.Begin(alarm("shop", 1))
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Lost.Expired != 1 || st.Lost.Damaged != 6 || st.Sent != 1 || st.Offered != 8 || d.left() != 0 {
		t.Errorf("%+v, and %d are left on the disk; it said\n%s", st, d.left(), said)
	}
}

// What the disk has kept and cannot give back is lost, and counted, be there more behind it or not.
func TestWhatTheDiskCannotRead(t *testing.T) {
	for _, behind := range []int{0, 2} {
		d := &disk{lost: 3}
		for range behind {
			d.Append("shop", (&item{at: time.Now(), body: []byte(`{"id":"kept"}`)}).pack())
		}
		back := newReceiver(t, status(http.StatusOK))
		s, _ := startOn(t, d, Config{URL: back.URL})
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Lost.Damaged != 3 || st.Sent != int64(behind) || st.Offered != int64(3+behind) || st.Found != int64(behind) {
			t.Errorf("with %d behind: %+v", behind, st)
		}
	}
}

// What the disk has no room for waits in memory alone: it is sent as all else is, and where the
// process ends first it is lost, and not said to be left to the next run.
func TestADiskWithoutRoom(t *testing.T) {
	d := &disk{room: 2}
	away := newReceiver(t, status(http.StatusServiceUnavailable))
	s, _ := startOn(t, d, Config{URL: away.URL})
	for n := range 5 {
		s.Begin(alarm("shop", n))
	}
	if err := end(s); err == nil || !strings.Contains(err.Error(), "3 events") {
		t.Errorf("it ends with %v", err)
	}
	if st := s.Stats(); st.Offered != 5 || st.Left != 2 || st.Lost.Closed != 3 || d.left() != 2 {
		t.Errorf("%+v, and %d are left on the disk", st, d.left())
	}

	back := newReceiver(t, status(http.StatusOK))
	s, _ = startOn(t, d, Config{URL: back.URL})
	for n := range 3 {
		s.Begin(alarm("other", n))
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Found != 2 || st.Sent != 5 || d.left() != 0 {
		t.Errorf("the second run: %+v, and %d are left on the disk", st, d.left())
	}
}

// A disk that fails costs what is on it, and no event of this run.
func TestADiskThatFails(t *testing.T) {
	d := &disk{}
	away := newReceiver(t, status(http.StatusServiceUnavailable))
	s, _ := startOn(t, d, Config{URL: away.URL})
	s.Begin(alarm("shop", 0))
	d.mu.Lock()
	d.broken = true
	d.mu.Unlock()
	s.Begin(alarm("shop", 1))
	if err := end(s); err == nil || !strings.Contains(err.Error(), "2 events") {
		t.Errorf("it ends with %v", err)
	}
	if st := s.Stats(); st.Lost.Closed != 2 || st.Left != 0 {
		t.Errorf("%+v", st)
	}
}

// A flood for a receiver that hangs is bounded in memory; what had to go is forgotten on the disk as
// soon as what is before it is.
func TestAFloodWithADisk(t *testing.T) {
	d := &disk{}
	release := make(chan struct{})
	hangs := newReceiver(t, func(_ int, w http.ResponseWriter) bool {
		<-release
		w.WriteHeader(http.StatusOK)
		return true
	})
	s, _ := startOn(t, d, Config{URL: hangs.URL, QueueEvents: 10})
	for n := range 100 {
		s.Begin(alarm("shop", n))
	}
	st := s.Stats()
	close(release)
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if st.Queued > 10 || st.Lost.QueueFull != 90 {
		t.Errorf("%+v", st)
	}
	if end := s.Stats(); end.Sent+end.Lost.QueueFull != 100 || d.left() != 0 {
		t.Errorf("%+v, and %d are left on the disk", end, d.left())
	}
}
