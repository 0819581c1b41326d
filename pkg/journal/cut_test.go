package journal_test

import (
	"math/rand/v2"
	"testing"
)

// TestCutAnywhere cuts recordings at any observation, with a journal that was compacted after a
// night and whose end is torn off anywhere behind that, again and again. The engine that is
// restored from what is left, and is told the rest, says what one says that nobody cut, byte for
// byte.
func TestCutAnywhere(t *testing.T) {
	compacted, torn := 0, 0
	eachSlept(t, trials(2, 30), 2, func(t *testing.T, _ int, r *rand.Rand, s slept) {
		c := &cutRun{t: t, dir: t.TempDir(), to: newTold(t), steps: s.steps}
		c.begin()
		for range 3 {
			from := max(c.at, s.dawn)
			c.until(from + r.IntN(len(s.steps)-from+1))
			if err := c.CompactNow(); err != nil {
				t.Fatal(err)
			}
			compacted++
			c.until(c.at + r.IntN(len(s.steps)-c.at+1))
			if c.tear(r) {
				torn++
			}
			c.begin()
		}
		c.until(len(s.steps))
		c.Kill()
		s.want.compare(c.to, s.where)
	})
	if compacted < 10 || torn < 5 {
		t.Errorf("%d compactions, and %d ends were torn off", compacted, torn)
	}
}

// cutRun is a run of steps that is cut: which are in the journal its numbers tell.
type cutRun struct {
	*life
	t     *testing.T
	dir   string
	to    *told
	steps []step
	at    int      // how many steps were lived
	next  []uint64 // of each of them, the number of the next record behind it
	made  int      // how many segments there were when it was compacted last
}

func (c *cutRun) begin() {
	c.life = begin(c.t, c.dir, c.to, always)
	for c.at = 0; c.at < len(c.next) && c.next[c.at] <= c.Next(); c.at++ {
	}
	c.next = c.next[:c.at]
}

func (c *cutRun) until(step int) {
	for ; c.at < step; c.at++ {
		c.hand(taken(c.Keeper, c.steps[c.at]))
		c.next = append(c.next, c.Next())
		if c.at%50 == 0 {
			c.Tick()
		}
	}
}

// CompactNow compacts, and notes which segments are not to be torn.
func (c *cutRun) CompactNow() error {
	err := c.Keeper.CompactNow()
	c.made = len(c.Segments())
	return err
}

// tear kills it, and tears off the end of what is behind the last compaction, if there is any.
func (c *cutRun) tear(r *rand.Rand) bool {
	paths := c.Segments()
	c.Kill()
	if len(paths) <= c.made {
		return false
	}
	tear(c.t, r, paths[len(paths)-1])
	return true
}
