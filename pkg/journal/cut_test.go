package journal_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestCutAnywhere cuts recordings at any observation, with a journal that was compacted after a
// night and whose end is torn off anywhere behind that, again and again. The engine that is
// restored from what is left, and is told the rest, says what one says that nobody cut, byte for
// byte.
func TestCutAnywhere(t *testing.T) {
	compacted, torn := 0, 0
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			whole := load(t, name)
			after := quiet(whole)
			for trial := range trials(2, 30) {
				if len(after) == 0 {
					return
				}
				r := rand.New(rand.NewPCG(uint64(trial), 2))
				fell := after[r.IntN(len(after))]
				steps := stretched(t, whole, fell)
				want := undisturbed(t, steps)
				dawn := fell + int(night/time.Minute)
				c := &cutRun{t: t, dir: t.TempDir(), to: newTold(t), steps: steps}
				where := fmt.Sprintf("trial %d, night after step %d of %d", trial, fell, len(whole))
				c.begin()
				for range 3 {
					c.until(max(c.at, dawn) + r.IntN(len(steps)-max(c.at, dawn)+1))
					if err := c.CompactNow(); err != nil {
						t.Fatal(err)
					}
					compacted++
					c.until(c.at + r.IntN(len(steps)-c.at+1))
					if c.tear(r) {
						torn++
					}
					c.begin()
				}
				c.until(len(steps))
				c.Kill()
				want.compare(c.to, where)
				if t.Failed() {
					return
				}
			}
		})
	}
	if compacted < 10 || torn < 5 {
		t.Errorf("%d compactions, and %d ends were torn off", compacted, torn)
	}
}

// cutRun is a run of steps that is cut: which are in the journal its numbers tell.
type cutRun struct {
	*life
	t     testing.TB
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
		if s := c.steps[c.at]; s.observation.Object != nil {
			c.hand(c.Observe(s.observation))
		} else {
			c.hand(c.Advance(s.now))
		}
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
	tear(c.t.(*testing.T), r, paths[len(paths)-1])
	return true
}
