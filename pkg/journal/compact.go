package journal

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// compaction is what becomes of the sealed segments.
type compaction struct {
	// observed and handed are files to take the place of the segments.
	observed, handed replacement
	// forced are how many groups were cut though something of them is still to be told.
	forced int
	err    error
}

// compact begins to compact the journal where it has grown to twice what it was, or ends that.
// The work is done aside, on segments that are not written any more. Then one file takes the
// place of the last of them at once, and the others are removed.
func (k *Keeper) compact() {
	if k.compacting != nil {
		select {
		case c := <-k.compacting:
			k.compacting = nil
			if err := k.compacted(c); err != nil {
				k.fail(err)
			}
		default:
		}
		return
	}
	size := k.observed.bytes()
	if size < max(min(compactAt, k.options.MaxBytes/4), 2*k.base) && size < k.options.MaxBytes/2 || size < k.base+k.observed.full {
		return
	}
	if err := k.startCompaction(); err != nil {
		k.fail(err)
	}
}

func (k *Keeper) startCompaction() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil {
		return nil // it was closed
	}
	for _, s := range []*series{k.observed, k.handed} {
		if err := errors.Join(s.flush(true), s.seal()); err != nil {
			return err
		}
	}
	cutoff := k.clock.Add(-life)
	if n, oldest := k.ledger.waiting(k.given); n > 0 && oldest.Before(cutoff) {
		cutoff = oldest
	}
	c := compactor{
		observed: k.observed.sealed(), handed: k.handed.sealed(),
		cutoff: cutoff, most: k.options.MaxBytes / 2, roomy: !k.tight,
	}
	k.compacting = make(chan *compaction, 1)
	go func(done chan<- *compaction) { done <- c.run() }(k.compacting)
	return nil
}

// compacted puts what was made in the place of what it was made from.
func (k *Keeper) compacted(c *compaction) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil {
		return nil // it was closed; what was made is removed when the directory is opened next
	}
	if errors.Is(c.err, errDamaged) || errors.Is(c.err, errTorn) {
		// The engine has what was in there, and the next process sets it aside.
		c.discard()
		k.base = k.observed.bytes()
		k.measure()
		if !k.damaged {
			k.damaged = true
			k.stats.Corrupt++
			k.options.Log.Error("a segment of the journal is damaged, so that it cannot be compacted; it is set aside at the next start",
				"dir", k.options.Dir, "error", c.err)
		}
		return k.bounded()
	}
	if c.err != nil {
		return k.notCompacted(c, c.err)
	}
	// The ledger last: it may know more than it needs to.
	if err := k.observed.replace(c.observed); err != nil {
		return k.notCompacted(c, err)
	}
	if err := k.handed.replace(c.handed); err != nil {
		return k.notCompacted(c, err)
	}
	k.uncompacted = false
	k.base = k.observed.bytes()
	k.stats.Compactions++
	k.measure()
	if c.forced > 0 {
		k.options.Log.Warn("the journal takes too much room; of the workloads that take most of it, what was before is forgotten: "+
			"what of them is open now is told after a restart as far as objects and Events prove it; more room is given by --data-dir-max-bytes",
			"workloads", c.forced)
	}
	return k.bounded()
}

// compactor compacts segments. It goes through them twice: once to find out what belongs
// together, up to where that is told and what is left of it, and once to write that.
type compactor struct {
	observed, handed []segment
	cutoff           time.Time
	most             int64 // bytes
	// roomy leaves groups as they are that take little.
	roomy bool

	groups  groups
	objects map[types.UID]*kept
	marks   []mark
	// positions are the latest of each source, by the numbers of their records.
	positions map[string]uint64
	// toldMissed is up to which record all that was missed is told.
	toldMissed uint64
	// cut is up to which record a group is told, by its group.
	cut   map[int]uint64
	sizes map[int]int64 // what a group takes that is not cut
	// left are the observations that are kept, by their numbers.
	left map[uint64]keptAs
}

// kept is what is known of an object.
type kept struct {
	group  int
	states []state // in order
}

// state is an observation of an object.
type state struct {
	seq  uint64
	size int32
	gone bool // it was deleted
}

// keptAs is how an observation is kept.
type keptAs bool

const (
	asItWas   keptAs = false
	asInAList keptAs = true // as the state of its object when the group was told
)

// mark is a mark that was read.
type mark struct {
	seq       uint64
	unsettled []types.UID
}

func (c *compactor) run() *compaction {
	c.groups = newGroups()
	c.objects, c.cut, c.sizes = map[types.UID]*kept{}, map[int]uint64{}, map[int]int64{}
	c.left, c.positions = map[uint64]keptAs{}, map[string]uint64{}
	for _, seg := range c.observed {
		if _, err := readSegment(seg, c.look); err != nil {
			return &compaction{err: err}
		}
	}
	c.findCuts()
	out := &compaction{forced: c.force()}
	c.findLeft()
	out.observed, out.err = c.writeObserved()
	if out.err == nil {
		out.handed, out.err = c.writeHanded()
	}
	return out
}

// look notes what a record is about.
func (c *compactor) look(e entry) error {
	if len(e.body) == 0 {
		return nil
	}
	switch e.body[0] {
	case recMark:
		now, unsettled, err := decodeMark(e.body)
		if err == nil && !now.After(c.cutoff) {
			c.marks = append(c.marks, mark{e.seq, unsettled})
		}
	case recPosition:
		c.positions[decodePosition(e.body).Source] = e.seq
	case recToldMissed:
		c.toldMissed = e.seq
	case recObserved:
		uid, owners, gone, ok := about(e.body)
		if !ok {
			return nil // it is passed over in a replay, too
		}
		group := c.groups.of(uid)
		for _, owner := range owners {
			c.groups.join(group, c.groups.of(owner))
		}
		o := c.objects[uid]
		if o == nil {
			o = &kept{group: group}
			c.objects[uid] = o
		}
		o.states = append(o.states, state{e.seq, int32(min(len(e.body), 1<<30)), gone}) //nolint:gosec // It is bounded.
	}
	return nil
}

// eventPrefix begins what stands for an Event's UID.
const eventPrefix = "event/"

// together are the kinds of owners whose objects the engine looks at together.
var together = map[string]bool{
	"Deployment": true, "ReplicaSet": true, "StatefulSet": true, "DaemonSet": true, "ReplicationController": true,
	"Job": true, "CronJob": true, "Rollout": true,
}

// about says of which object an observation is, and which others belong to it. An Event counts
// as a state of its own, of the group of what it is about.
func about(body []byte) (uid types.UID, owners []types.UID, gone, ok bool) {
	o, err := DecodeObservation(body)
	if err != nil || o.Object == nil {
		return "", nil, false, false
	}
	m, ok := o.Object.(metav1.Object)
	if !ok {
		return "", nil, false, false
	}
	if ev, ok := o.Object.(*corev1.Event); ok {
		// To the engine an Event that is gone is as good as one that is old.
		in := ev.InvolvedObject
		subject := cmp.Or(in.UID, types.UID(in.Kind+"/"+in.Namespace+"/"+in.Name))
		return eventPrefix + ev.UID, []types.UID{subject}, true, true
	}
	for _, ref := range m.GetOwnerReferences() {
		if together[ref.Kind] {
			owners = append(owners, ref.UID)
		}
	}
	return m.GetUID(), owners, o.Type == watch.Deleted, true
}

// findCuts finds the latest mark at which all of a group was told.
func (c *compactor) findCuts() {
	if len(c.marks) == 0 {
		return
	}
	last := len(c.marks) - 1
	// since is the first of the marks in a row, up to the last one, that name a group.
	since := map[int]int{}
	for i := last; i >= 0; i-- {
		for _, uid := range c.marks[i].unsettled {
			group := c.groups.of(uid)
			if from, ok := since[group]; i == last || ok && from == i+1 {
				since[group] = i
			}
		}
	}
	room := map[int]int64{}
	for uid, o := range c.objects {
		group := c.groups.root(o.group)
		if from, open := since[group]; !open {
			c.cut[group] = c.marks[last].seq
		} else if from > 0 {
			c.cut[group] = c.marks[from-1].seq
		}
		room[group] = max(room[group], roomOfGroup)
		if c.roomy && !strings.HasPrefix(string(uid), eventPrefix) && !o.states[len(o.states)-1].gone {
			room[group] += roomOfObject
		}
		for _, s := range o.states {
			c.sizes[group] += int64(s.size)
		}
	}
	for group, size := range c.sizes {
		if c.roomy && size <= room[group] {
			c.cut[group] = 0
		}
	}
	clear(c.sizes)
	for _, o := range c.objects {
		group := c.groups.root(o.group)
		for _, s := range o.states {
			if s.seq > c.cut[group] {
				c.sizes[group] += int64(s.size)
			}
		}
	}
}

// A group that takes no more than this, before compression, is left as it is. So of most
// workloads the latest rollout is known as if nobody had stopped, be it weeks ago.
const (
	roomOfGroup  = 256 << 10
	roomOfObject = 24 << 10 // for each object that there is: a pod's start takes half of it
)

// force cuts the groups that take most at the last mark, until what is left has room. It
// returns how many that are.
func (c *compactor) force() (forced int) {
	if len(c.marks) == 0 {
		return 0
	}
	last := c.marks[len(c.marks)-1].seq
	total := int64(0)
	for _, size := range c.sizes {
		total += size / compression
	}
	groups := slices.SortedFunc(maps.Keys(c.sizes), func(a, b int) int {
		return cmp.Or(cmp.Compare(c.sizes[b], c.sizes[a]), cmp.Compare(a, b))
	})
	for _, group := range groups {
		if total <= c.most {
			return forced
		}
		if c.cut[group] < last {
			c.cut[group] = last
			total -= c.sizes[group] / compression
			forced++
		}
	}
	return forced
}

// compression is by how much what is kept is smaller on the disk, at the least.
const compression = 4

// findLeft finds what is kept of each object: what is behind the cut of its group, and the
// newest state up to there, if it was not gone.
func (c *compactor) findLeft() {
	for _, o := range c.objects {
		cut := c.cut[c.groups.root(o.group)]
		for i, s := range o.states {
			newest := i+1 == len(o.states) || o.states[i+1].seq > cut
			switch {
			case s.seq > cut:
				c.left[s.seq] = asItWas
			case newest && !s.gone:
				c.left[s.seq] = asInAList
			}
		}
	}
}

// writeObserved writes what is left of the observations.
func (c *compactor) writeObserved() (replacement, error) {
	lastMark := uint64(0)
	if n := len(c.marks); n > 0 {
		lastMark = c.marks[n-1].seq
	}
	var ticked time.Time // the latest time that is left
	once := map[string]bool{}
	whole := false // there are observations that are left as they were
	return rewrite(c.observed, func(e entry) (entry, bool) {
		if len(e.body) == 0 {
			return e, false
		}
		switch e.body[0] {
		case recObserved:
			as, kept := c.left[e.seq]
			switch {
			case !kept: // nor is what cannot be read, which is passed over in a replay, too
				return e, false
			case as == asInAList:
				e.body = slices.Clone(e.body)
				e.body[1] = e.body[1]&^(flagModified|flagDeleted) | flagInitial
			default:
				whole = true
			}
			return e, true
		case recTime:
			// Of those before the last mark one a minute is enough, for what was open then.
			at := timeOfRecord(e.body)
			if e.seq <= lastMark && (!whole || at.Sub(ticked).Abs() < time.Minute) { // a clock may have been set back
				return e, false
			}
			ticked = at
			return e, true
		case recMark:
			return e, e.seq >= lastMark
		case recPosition:
			return e, c.positions[decodePosition(e.body).Source] == e.seq
		case recMissed, recToldMissed:
			return e, e.seq > c.toldMissed
		case recStopped:
			clear(once) // who reads it begins anew there
			return e, true
		case recListed, recCluster:
			first := !once[string(e.body)]
			once[string(e.body)] = true
			return e, first
		default:
			return e, true
		}
	})
}

// remembered is how long what is acknowledged is remembered, in stream time. A replay builds
// everything when it was built first, and drops what it builds long before its end.
const remembered = 24 * time.Hour

// writeHanded writes what is left of the ledger: what was handed out lately, and what is not
// acknowledged.
func (c *compactor) writeHanded() (replacement, error) {
	taken := map[uint64]bool{}
	old := map[uint64]bool{}
	for _, seg := range c.handed {
		if _, err := readSegment(seg, func(e entry) error {
			if len(e.body) == 0 {
				return nil
			}
			switch e.body[0] {
			case recTaken:
				numbers, err := decodeNumbers(e.body)
				for _, n := range numbers {
					taken[n] = true
				}
				return err
			case recBuilt:
				built, _, err := readTime(e.body[1:])
				old[e.seq] = built.Before(c.cutoff.Add(-remembered))
				return err
			}
			return nil
		}); err != nil {
			return replacement{}, err
		}
	}
	return rewrite(c.handed, func(e entry) (entry, bool) {
		if len(e.body) == 0 {
			return e, false
		}
		switch e.body[0] {
		case recBuilt:
			return e, !old[e.seq] || !taken[e.seq]
		case recTaken:
			numbers, err := decodeNumbers(e.body)
			if err != nil {
				return e, false
			}
			numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return old[n] })
			e.body = encodeNumbers(recTaken, numbers...)
			return e, len(numbers) > 0
		}
		return e, true
	})
}
